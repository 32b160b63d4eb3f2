"""Finds passages in footage: one scene ends in a cut or a fade, and the next begins with the player."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from storage.clips import ClipReader
from worldgen_core.batch import array_to_tensor
from worldgen_core.models.layered_facts import heading_of
from worldgen_core.models.layered_mover import MoverNetwork
from worldgen_core.models.layered_passages import MAX_LEVELS, Passages, join_passages, no_passages
from worldgen_core.training.layered_moves import gather_last
from worldgen_core.training.layered_scenes import Scene

_MAX_WAIT = 8
"""Frames of the new scene within which the player must be found."""


def find_passages(scenes: Sequence[Scene], network: MoverNetwork, reader: ClipReader) -> Passages:
    """Every change of scene with the player on both sides and no more than a fade between.

    `reader` gives the frames between the scenes; of `network` only its view counts, not its weights.
    """
    game = network.game
    none = no_passages((game.height, game.width), network.arch.window_tiles * game.tile_px)
    parts = [none]
    for before, after in pairwise(sorted(scenes, key=lambda scene: (scene.episode_id, scene.first))):
        gap = after.first - before.first - len(before.frames)
        arrivals = np.flatnonzero(after.found[:_MAX_WAIT])
        is_near = before.episode_id == after.episode_id and gap >= 0
        if is_near and before.ends_in_cut and before.found[-1] and len(arrivals):
            num_between = gap + int(arrivals[0])
            if num_between <= MAX_LEVELS:
                parts.append(_passage(before, after, int(arrivals[0]), network, reader))
    return join_passages(parts)


def _passage(
    before: Scene, after: Scene, arrival: int, network: MoverNetwork, reader: ClipReader
) -> Passages:
    sight, told = gather_last(before, network)
    last = before.first + len(before.frames) - 1
    frames = reader.read(before.episode_id, last, after.first + arrival - last + 1).frames
    levels, turn = fade_levels(frames)
    level = torch.full((1, MAX_LEVELS), -1.0)
    level[0, : len(levels)] = array_to_tensor(levels)
    return Passages(
        window=sight.window,
        heading=heading_of(told, network.game),
        level=level,
        turn=torch.tensor([turn]),
        screen=array_to_tensor(after.frames[arrival])[None],
        is_known=array_to_tensor(after.is_known[arrival])[None],
        place=array_to_tensor(after.place[arrival])[None],
        grid=array_to_tensor((after.grid - after.camera[arrival]) % network.game.tile_px)[None],
        pose=torch.tensor([int(after.pose[arrival])]),
    )


def fade_levels(frames: UInt8[np.ndarray, "t h w 3"]) -> tuple[Float32[np.ndarray, " n"], int]:
    """Brightness of the frames between the first and the last, and how many of them are the first's.

    Up to the darkest frame they are darker copies of the first, from then on of the last.
    """
    mean = frames.reshape(len(frames), -1).mean(axis=1).astype(np.float32)
    between = mean[1:-1]
    if not len(between):
        return between, 0
    turn = int(between.argmin())
    whole = np.where(np.arange(len(between)) < turn, mean[0], mean[-1])
    return np.clip(between / np.maximum(whole, 1.0), 0, 1), turn
