"""Artifacts, manifests, shards and clip reading: what is on disk and how it stays whole.

Installs without torch; knows nothing of games or models.
"""
