"""Keys to try in a dream, from places of a held-out recording at which it is known what they must do.

From a rest, and from where the player has just run against something, two sorts of tries are made. *Recorded*
ones go on with the recording's own actions, so that its own frames tell what a tracker makes of the truth.
*Counterfactual* ones press a key that was not pressed then, or not at that moment; what must come of it is
known from the ways of the same scene (ways.py): an open way was walked, there or back, at some time of the
block, a blocked one was pressed against. Ways that the block does not show are not tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64, UInt8

from storage.clips import ClipReader
from worldgen_core.evaluation.tile_settings import TileSettings
from worldgen_core.evaluation.tracked import Tracked, follow
from worldgen_core.evaluation.ways import MIN_HELD, Ways, find_ways, way_from
from worldgen_core.tracking.presses import MIN_REST, Press, find_presses
from worldgen_core.tracking.reader import SpriteReader
from worldgen_core.tracking.settings import FACINGS, Facing, TrackingSettings

Kind = Literal["held", "blocked", "tap"]


@dataclass(frozen=True)
class Recording:
    """A held-out episode with all that was found in it."""

    frames: UInt8[np.ndarray, "t h w 3"]
    action: Int64[np.ndarray, " t"]
    tracked: Tracked
    ways: Ways
    presses: tuple[Press, ...]


@dataclass(frozen=True)
class Try:
    """Actions that follow frame `first` of an episode, and what they are to show.

    `held`: an open way, the player must move `facing`; `blocked`: it must stay; `tap`: an open way, let go
    during the step, it must end at rest on a tile's edge.
    """

    kind: Kind
    is_recorded: bool
    episode: int
    first: int
    facing: Facing
    action: Int64[np.ndarray, " n"]


def read_recordings(
    dataset: ClipReader, reader: SpriteReader, facings: list[Facing | None]
) -> list[Recording]:
    """Every held-out episode, tracked and surveyed."""
    names = dataset.info.action_names
    recordings = []
    for row in dataset.episodes("validation"):
        clip = dataset.read(row.episode_id, 0, row.num_frames)
        tracked = follow(clip.frames, reader)
        ways = find_ways(tracked, clip.action, facings, reader.settings)
        presses = find_presses(tracked.world, clip.action, names, reader.settings)
        recordings.append(Recording(clip.frames, clip.action, tracked, ways, tuple(presses)))
    return recordings


def facings_of(action_names: Sequence[str], settings: TrackingSettings) -> list[Facing | None]:
    """Which way each action walks, if any."""
    return [settings.movement.get(name) for name in action_names]


def choose_tries(
    recordings: Sequence[Recording],
    settings: TileSettings,
    *,
    facings: list[Facing | None],
    step_frames: int,
    num_context_frames: int,
) -> list[Try]:
    """All tries of at most `num_starts` rests, and the recorded runs against something.

    `step_frames` is how many frames a step takes: a tap is let go one frame before.
    """
    rests = [
        (episode, first)
        for episode, recording in enumerate(recordings)
        for first in rest_starts(recording, facings, num_context_frames)
    ]
    every = np.linspace(0, len(rests) - 1, min(settings.num_starts, len(rests))).astype(int)
    chosen = [rests[index] for index in every]
    return [
        found
        for episode, recording in enumerate(recordings)
        for found in _tries(
            recording,
            episode,
            [first for own, first in chosen if own == episode],
            settings,
            facings,
            step_frames,
            num_context_frames,
        )
    ]


def rest_starts(recording: Recording, facings: list[Facing | None], num_context_frames: int) -> list[int]:
    """The last frame of each rest on a tile's edge of which no earlier key can move the player any more.

    Either no walking key was pressed in the two frames before, or one was held in vain all the while.
    """
    rest = recording.tracked.world.rest_frames()
    is_last = np.append(rest[1:] == 0, True)
    walks = np.array([facing is not None for facing in facings])[recording.action]
    is_quiet = ~walks
    is_quiet[1:] &= ~walks[:-1]
    is_quiet = np.append(False, is_quiet[:-1])
    for held in recording.ways.held:
        is_quiet[held.first + MIN_HELD - 1 : held.stop] = True
    is_good = (rest >= MIN_REST) & recording.ways.is_on_edge & is_quiet
    is_good &= _has_context(recording, num_context_frames)
    starts, last_good = [], -1
    for index in np.flatnonzero(rest > 0).tolist():
        last_good = index if is_good[index] else last_good
        if is_last[index] and last_good > index - rest[index]:
            starts.append(last_good)
    return starts


def place_of(recording: Recording, episode: int, first: int, place_tiles: int) -> tuple[int, ...]:
    """The place that a start counts for: episode, scene, and square of tiles."""
    square = recording.ways.tile[first] // place_tiles
    return (episode, int(recording.tracked.scene[first]), *square.tolist())


def _has_context(recording: Recording, num_context_frames: int) -> np.ndarray:
    """Where the context frames are of one scene."""
    scene, past = recording.tracked.scene, num_context_frames - 1
    has = np.zeros(len(scene), np.bool_)
    has[past:] = scene[past:] == scene[: len(scene) - past]
    return has


def _tries(
    recording: Recording,
    episode: int,
    starts: list[int],
    settings: TileSettings,
    facings: list[Facing | None],
    step_frames: int,
    num_context_frames: int,
) -> Iterator[Try]:
    has_context = _has_context(recording, num_context_frames)
    for press in recording.presses:
        if has_context[press.frame] and recording.ways.is_on_edge[press.frame]:
            yield from _recorded_press(recording, episode, press, settings, facings, step_frames)
    for held in recording.ways.held:
        if has_context[held.first] and recording.ways.is_on_edge[held.first]:
            action = recording.action[held.first : held.stop - 1]
            yield Try("blocked", True, episode, held.first, held.facing, action)
    for first in starts:
        yield from _counterfactual(recording, episode, first, settings, facings, step_frames)


def _recorded_press(
    recording: Recording,
    episode: int,
    press: Press,
    settings: TileSettings,
    facings: list[Facing | None],
    step_frames: int,
) -> Iterator[Try]:
    """A press that moved the player: whether the dream's goes the same way, and where it ends if let go."""
    if press.outcome != "moved":
        return
    action, first = recording.action, press.frame
    released = first + press.num_frames
    stop = first + settings.hold_frames
    if press.num_frames >= step_frames and stop < len(action):
        yield Try("held", True, episode, first, press.facing, action[first:stop])
    is_short = press.num_frames <= step_frames and first < press.stop <= first + settings.tap_frames - 2
    if not is_short or press.stop + 2 > len(action):
        return
    after = action[released : press.stop + 1]
    if all(facings[int(act)] is None for act in after):
        yield Try("tap", True, episode, first, press.facing, action[first : press.stop + 1])


def _counterfactual(
    recording: Recording,
    episode: int,
    first: int,
    settings: TileSettings,
    facings: list[Facing | None],
    step_frames: int,
) -> Iterator[Try]:
    """Each direction whose way is known."""
    for facing in FACINGS:
        way = way_from(recording.tracked.scene, recording.ways.tile, first, facing)
        key = facings.index(facing)
        if way in recording.ways.is_open:
            held = np.full(settings.hold_frames, key, np.int64)
            yield Try("held", False, episode, first, facing, held)
            tap = np.zeros(settings.tap_frames, np.int64)
            tap[: max(step_frames - 1, 1)] = key
            yield Try("tap", False, episode, first, facing, tap)
        if way in recording.ways.is_blocked:
            pressed = np.full(settings.blocked_frames, key, np.int64)
            yield Try("blocked", False, episode, first, facing, pressed)
