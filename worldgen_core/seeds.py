"""Per-component seeds, derived by name from the one seed of the config."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 31-bit seed that depends on `seed` and on every name, and on nothing else.

    Stable across machines, processes and Python versions (SHA-256, not `hash`).
    """
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
