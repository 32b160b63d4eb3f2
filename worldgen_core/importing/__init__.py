"""Imports: weights that others published, converted to safetensors with a card; nothing else is taken in."""
