"""A recording of the drawn world as a dataset, and models that dream it rightly or wrongly in known ways."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from storage.clips import ClipReader
from storage.records import DatasetInfo, Episode, Split
from storage.shards import write_dataset
from tests.tracking_world import (
    ACTION_NAMES,
    RISE,
    TILE,
    VIEW,
    Walk,
    Walker,
    draw_map,
    long_script,
    paint,
    take_walk,
)
from worldgen_core.models.interface import Prediction

OPPOSITE = {0: 0, 1: 2, 2: 1, 3: 4, 4: 3}
NUM_CONTEXT_FRAMES = 4


def mixed_script(num_rounds: int, seed: int = 1) -> list[tuple[int, int]]:
    """Walks, taps that are let go during the step, and long walks that end at the map's edge."""
    rng = np.random.default_rng(seed)
    script: list[tuple[int, int]] = [(0, 8)]
    for index in range(num_rounds):
        way, other = (int(act) for act in rng.permutation([1, 2, 3, 4])[:2])
        script += [(way, 3), (0, 8), (other, 4 * int(rng.integers(1, 4))), (0, 7)]
        if index % 2 == 0:
            script += [(way, 4 * 26 + 6), (0, 6)]
    return script


def episode_of(walk: Walk, number: int, split: Split) -> Episode:
    count = len(walk.frames)
    return Episode(
        episode_id=f"walk-{number}",
        source="drawn",
        split=split,
        frames=walk.frames,
        action=walk.actions.astype(np.int64),
        reward=np.zeros(count, np.float32),
        terminated=np.zeros(count, np.bool_),
        truncated=np.arange(count) == count - 1,
        pts=np.arange(count, dtype=np.int64),
        source_frame=np.arange(count, dtype=np.int64),
    )


@dataclass(frozen=True)
class Drawn:
    """The dataset, and what its held-out frames show: a frame's bytes lead to map corner and facing."""

    reader: ClipReader
    ground: np.ndarray
    book: dict[bytes, tuple[np.ndarray, int]]


def write_drawn(folder: Path, *, seed: int = 3, num_walks: int = 22) -> Drawn:
    """A training recording of so many walks and a held-out one over the same map."""
    train, held_out = take_walk(long_script(num_walks), seed=seed), take_walk(mixed_script(6), seed=seed)
    names = (*ACTION_NAMES, "a", "b", "start")
    info = DatasetInfo("pokemon", "drawn", *VIEW, 15.0, names, stage="slice_videos")
    write_dataset(folder, info, [episode_of(train, 0, "train"), episode_of(held_out, 1, "validation")])
    at = held_out.place + held_out.camera + (RISE, 0)
    rows = zip(held_out.frames, at, held_out.facing.tolist(), strict=True)
    book = {frame.tobytes(): (corner, facing) for frame, corner, facing in rows}
    return Drawn(ClipReader(folder), draw_map(seed), book)


class Rightly:
    """Dreams exactly what the game would do."""

    num_context_frames = NUM_CONTEXT_FRAMES
    num_actions = 8
    frame_shape = VIEW
    takes_chance_from_truth = False

    def __init__(self, drawn: Drawn) -> None:
        self._drawn = drawn

    def reset(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"], *, seed: int
    ) -> None:
        assert frames.shape[1] == NUM_CONTEXT_FRAMES
        self.num_dreamt = 0
        self.last = frames[:, -1].numpy().copy()
        self.walkers = [self._stand(frame) for frame in self.last]

    def step(
        self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
    ) -> Prediction:
        assert truth is None, "a true frame would tell where the player went"
        self.num_dreamt += 1
        for walker, act in zip(self.walkers, action.tolist(), strict=True):
            self.move(walker, act if act < len(ACTION_NAMES) else 0)
        self.last = np.stack([self.show(walker) for walker in self.walkers])
        return Prediction(torch.from_numpy(self.last), None, None)

    def move(self, walker: Walker, action: int) -> None:
        walker.step(action)

    def show(self, walker: Walker) -> np.ndarray:
        return walker.draw((self.num_dreamt // 2) % 2)[0]

    def _stand(self, frame: np.ndarray) -> Walker:
        at, facing = self._drawn.book[frame.tobytes()]
        beyond = (at % TILE).max()
        # a step up or left has as much left as it is beyond the tile, one down or right the rest
        left = 0 if not beyond else int(beyond if facing in (0, 2) else TILE - beyond)
        return Walker(self._drawn.ground, at.copy(), facing, left)


class Frozen(Rightly):
    """Shows the last frame for ever."""

    def move(self, walker: Walker, action: int) -> None:
        walker.offset = 0


class Backwards(Rightly):
    """Goes the other way."""

    def move(self, walker: Walker, action: int) -> None:
        walker.step(OPPOSITE[action])


class Hasty(Rightly):
    """Moves by three pixels a frame."""

    def move(self, walker: Walker, action: int) -> None:
        walker.speed = 3
        walker.step(action)


class Stopping(Rightly):
    """Stops as soon as the key is let go, wherever it is."""

    def move(self, walker: Walker, action: int) -> None:
        if walker.offset and not action:
            walker.offset = 0
            return
        walker.step(action)


class Ghostly(Rightly):
    """Does not know that anything blocks the way: at the map's edge it walks back in."""

    def move(self, walker: Walker, action: int) -> None:
        before = walker.at
        walker.step(action)
        if action and not walker.offset and (walker.at == before).all():
            inward = Walker(walker.ground, walker.at, walker.facing)
            inward.step(OPPOSITE[action])
            walker.at, walker.offset = inward.at, inward.offset


class Blurred(Rightly):
    """Loses its sharpness within a second."""

    def show(self, walker: Walker) -> np.ndarray:
        return cv2.GaussianBlur(super().show(walker), (0, 0), min(0.1 + 0.1 * self.num_dreamt, 2.0))


class Crumbling(Rightly):
    """Gets noisier and noisier."""

    def show(self, walker: Walker) -> np.ndarray:
        noise = np.random.default_rng(self.num_dreamt).normal(0, min(self.num_dreamt, 60), (*VIEW, 3))
        return np.clip(super().show(walker) + noise, 0, 255).astype(np.uint8)


class LeftBehind(Rightly):
    """Lets the sprite go with the map once the camera moves, instead of keeping it in the middle."""

    def reset(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"], *, seed: int
    ) -> None:
        super().reset(frames, actions, seed=seed)
        self._left_at = [walker.at.copy() for walker in self.walkers]

    def show(self, walker: Walker) -> np.ndarray:
        camera = walker.draw()[2]
        bare = walker.ground[camera[0] : camera[0] + VIEW[0], camera[1] : camera[1] + VIEW[1]].copy()
        index = next(i for i, own in enumerate(self.walkers) if own is walker)
        paint(bare, self._left_at[index] - camera - (RISE, 0), walker.facing)
        return bare
