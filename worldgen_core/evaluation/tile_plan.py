"""What is known of a tile game's recording before anything is dreamt, and what is to be dreamt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.clips import ClipReader
from worldgen_core.evaluation.moves_panel import commonest_speed
from worldgen_core.evaluation.tile_settings import TileSettings
from worldgen_core.evaluation.tracked import learn_reader
from worldgen_core.evaluation.tries import Recording, Try, choose_tries, facings_of, read_recordings
from worldgen_core.evaluation.true_panel import TrueTry, TrueWorld, choose_true_tries
from worldgen_core.evaluation.walks_panel import walk_starts
from worldgen_core.tracking.reader import SpriteReader
from worldgen_core.tracking.settings import Facing, TrackingSettings


@dataclass(frozen=True)
class TilePlan:
    """The held-out episodes with all that was found in them, and where dreams start."""

    reader: SpriteReader
    recordings: list[Recording]
    action_names: tuple[str, ...]
    facings: list[Facing | None]
    """Which way each action walks, if any."""
    speed_px: int
    """What a moving frame moves by."""
    tries: list[Try]
    walks: list[tuple[int, int]]
    """Episode and first frame of each."""
    walk_frames: int
    true: TrueWorld | None
    """The simulator of the world that is to be seen, where there is one."""
    true_tries: list[TrueTry]

    def num_frames(self, batch_size: int) -> int:
        """Frames that are dreamt for all of it."""
        walks = [self.walk_frames] * len(self.walks)
        moves = [len(own.action) for own in self.tries]
        true = [len(own.action) for own in self.true_tries]
        return sum(_num_dreamt(lengths, batch_size) for lengths in (walks, moves, true))


def batches_by_length(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Indices of dreams to be had together, the longest first, so that few frames are dreamt for nothing."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]


def _num_dreamt(lengths: Sequence[int], batch_size: int) -> int:
    return sum(len(batch) * lengths[batch[0]] for batch in batches_by_length(lengths, batch_size))


def plan_tiles(
    settings: TileSettings,
    dataset: ClipReader,
    tracking: TrackingSettings,
    *,
    num_context_frames: int,
    true: TrueWorld | None,
) -> TilePlan:
    """Learn the player's looks, track the held-out episodes, and choose what is tried in the dream.

    Cost: about 4 ms a held-out frame and 1 ms a training frame of 120 x 80.
    Raises: TrackingError if the training split does not show the player walk enough.
    """
    reader = learn_reader(dataset, tracking, num_frames=settings.bank_frames)
    facings = facings_of(dataset.info.action_names, tracking)
    recordings = read_recordings(dataset, reader, facings)
    speed_px = commonest_speed(recordings)
    tries = choose_tries(
        recordings,
        settings,
        facings=facings,
        step_frames=max(tracking.tile_px // max(speed_px, 1), 2),
        num_context_frames=num_context_frames,
    )
    true_tries: list[TrueTry] = []
    if true is not None:
        true_tries = choose_true_tries(
            recordings,
            true,
            facings=facings,
            num_context_frames=num_context_frames,
            num_starts=settings.num_true_starts,
            num_frames=settings.true_frames,
            wall_frames=settings.blocked_frames,
        )
    walks, walk_frames = _walks(recordings, settings, num_context_frames)
    return TilePlan(
        reader,
        recordings,
        dataset.info.action_names,
        facings,
        speed_px,
        tries,
        walks,
        walk_frames,
        true,
        true_tries,
    )


def _walks(
    recordings: list[Recording], settings: TileSettings, num_context_frames: int
) -> tuple[list[tuple[int, int]], int]:
    """Where walks start (the last context frame), and how long they are."""
    lengths = [len(recording.action) - num_context_frames + 1 for recording in recordings]
    num_frames = min(settings.walk_frames, max(lengths, default=1) - 1)
    starts = walk_starts(lengths, num_walks=settings.num_walks, num_frames=num_frames)
    return [(episode, first + num_context_frames - 1) for episode, first in starts], num_frames
