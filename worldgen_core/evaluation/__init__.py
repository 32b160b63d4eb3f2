"""Evaluation: panels that compare a dream with the game it was learned from."""
