"""Stages: one thin Prefect task a file, which opens its inputs, calls the core, and publishes an artifact.

Owns staleness (`fingerprint.py`, `stage.py`) and what Prefect shows (`publish.py`); no tensor code.
"""
