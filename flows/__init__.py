"""Recipes: one Prefect flow a file, each reading like the list of its stages.

Owns orchestration and the `worldgen` command; never touches tensors or Arrow tables itself.
"""
