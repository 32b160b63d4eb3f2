"""The mover's past as a network reads it: turned so that the player's heading is upwards.

What a key does is the same whichever way it points. Seen relative to the heading (the key's way, else the way
of the last motion, else the way the player looks) every walk teaches all four.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from worldgen_core.models.layered_game import MoverGame
from worldgen_core.models.layered_state import MoverState, last_way, phase_of
from worldgen_core.tracking.settings import STEPS

NUM_WAYS = len(STEPS)
WAYS = torch.tensor(list(STEPS.values()))
"""Unit steps (dy, dx) by FACINGS."""
_TURNS = torch.tensor([[[1, 0], [0, 1]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]], [[0, -1], [1, 0]]])
"""For each heading the matrix that turns it upwards, for columns (y, x)."""


def heading_of(told: MoverState, game: MoverGame) -> Int64[Tensor, " b"]:
    """Index into FACINGS of where the player is going; the newest of `told.act` is the key in question."""
    key = torch.tensor(game.key_facing)[told.act[:, -1]]
    moved = way_index(last_way(told, game))
    looks = torch.tensor(game.pose_facing)[told.pose]
    return torch.where(key >= 0, key, torch.where(moved >= 0, moved, looks))


def way_index(step: Int64[Tensor, "*b 2"]) -> Int64[Tensor, "*b"]:
    """Index into FACINGS of a motion; the vertical one of two, -1 for none."""
    sign = step.sign()
    sign = torch.where((sign[..., :1] != 0) & (sign[..., 1:] != 0), sign * torch.tensor([1, 0]), sign)
    same = (sign[..., None, :] == WAYS.to(sign.device)).all(dim=-1)
    return torch.where(same.any(dim=-1), same.long().argmax(dim=-1), -1)


def turned_ways(heading: Int64[Tensor, " b"]) -> Int64[Tensor, "b 4"]:
    """For each way as seen from the heading (ahead, behind, left, right) which of FACINGS it is."""
    return _TURNED_WAYS.to(heading.device)[heading]


def turned_motions(heading: Int64[Tensor, " b"], game: MoverGame) -> Int64[Tensor, "b m"]:
    """For each motion of the table which one it is as seen from the heading."""
    steps = torch.tensor(game.motions)
    turned = torch.einsum("hij,mj->hmi", _TURNS.to(steps.device), steps)
    table = (turned[:, :, None] == steps).all(dim=-1).long().argmax(dim=-1)
    return table[heading]


_TURNED_WAYS = (
    (torch.einsum("hij,wj->hwi", _TURNS, WAYS)[:, None] == WAYS[:, None]).all(dim=-1).long().argmax(dim=-1)
)


def turned_facts(told: MoverState, heading: Int64[Tensor, " b"], game: MoverGame) -> Float32[Tensor, "b f"]:
    """Histories, phase and look of the player as seen from its heading; zeros for what is not known."""
    place_in = torch.argsort(turned_ways(heading), dim=1)  # of FACINGS as seen from the heading
    keys = torch.tensor(game.key_facing)[told.act.clamp(min=0)].masked_fill(told.act < 0, -1)
    ways = torch.where(keys >= 0, place_in.gather(1, keys.clamp(min=0)), -1)
    other = torch.where(keys >= 0, -1, told.act)
    motions = turned_motions(heading, game).gather(1, told.motion.clamp(min=0))
    motions = torch.where(told.motion >= 0, motions, -1)
    phase = (
        torch.einsum("bij,bj->bi", _TURNS.to(heading.device)[heading], phase_of(told, game)) % game.tile_px
    )
    looks = place_in.gather(1, torch.tensor(game.pose_facing)[told.pose][:, None])
    parts = [
        one_hot(ways, NUM_WAYS),
        one_hot(other, len(game.key_facing)),
        one_hot(motions, len(game.motions)),
        one_hot(phase, game.tile_px),
        one_hot(looks, NUM_WAYS),
    ]
    return torch.cat([part.flatten(1) for part in parts], dim=1)


def num_turned_facts(game: MoverGame, past: int) -> int:
    """Length of a row of `turned_facts`."""
    return past * (NUM_WAYS + len(game.key_facing) + len(game.motions)) + 2 * game.tile_px + NUM_WAYS


def pose_facts(told: MoverState, motion: Int64[Tensor, " b"], game: MoverGame) -> Float32[Tensor, "b f"]:
    """What tells the next pose: the step (an index of the table), what led to it, and the last pose."""
    recent = 3
    parts = [
        one_hot(told.act[:, -recent:], len(game.key_facing)),
        one_hot(told.motion[:, -recent:], len(game.motions)),
        one_hot(motion[:, None], len(game.motions)),
        one_hot(phase_of(told, game), game.tile_px),
        one_hot(told.pose[:, None], len(game.pose_facing)),
    ]
    return torch.cat([part.flatten(1) for part in parts], dim=1)


def num_pose_facts(game: MoverGame) -> int:
    """Length of a row of `pose_facts`."""
    return 3 * len(game.key_facing) + 4 * len(game.motions) + 2 * game.tile_px + len(game.pose_facing)


def one_hot(index: Int64[Tensor, "b n"], size: int) -> Float32[Tensor, "b n size"]:
    """One-hot rows; zeros for -1."""
    return (index[..., None] == torch.arange(size, device=index.device)).float()
