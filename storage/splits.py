"""Which episodes are held out: whole sources, decided by a pure function."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from storage.records import Split


def assign_splits(episode_ids: Sequence[str], *, validation_share: float, seed: int) -> dict[str, Split]:
    """Give each whole episode to one split and hold out `round(validation_share * n)` of them.

    At least one and at most all but one are held out where there are two or more; a share of 0 holds out
    none, a share of 1 all. The choice depends on the ids and the seed, not on their order.
    Raises: ValueError for a share outside 0 to 1 or a repeated id.
    """
    if not 0 <= validation_share <= 1 or len(set(episode_ids)) != len(episode_ids):
        raise ValueError(
            f"validation_share {validation_share} of {len(set(episode_ids))}/{len(episode_ids)} ids"
        )
    ranked = sorted(episode_ids, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    num_held_out = round(validation_share * len(ranked))
    if 0 < validation_share < 1 and len(ranked) > 1:
        num_held_out = min(max(1, num_held_out), len(ranked) - 1)
    held_out = set(ranked[:num_held_out])
    return {name: "validation" if name in held_out else "train" for name in episode_ids}
