"""Takes the panels of games whose player walks on tiles: `moves`, `walks`, and the true simulator's.

What is tracked is learnt from the dataset's training split and applied to recorded and dreamt frames alike.
Models are given no truth here, whatever they could take from it: a recorded frame tells where the player
went.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from storage.clips import ClipReader
from worldgen_core.errors import TrackingError
from worldgen_core.evaluation.dream import dream_on
from worldgen_core.evaluation.jobs import JobPool, Meter
from worldgen_core.evaluation.moves_panel import moves_panel
from worldgen_core.evaluation.settings import EvaluateSettings
from worldgen_core.evaluation.tile_plan import TilePlan, batches_by_length, plan_tiles
from worldgen_core.evaluation.tile_settings import TileSettings
from worldgen_core.evaluation.tracked import Tracked, follow
from worldgen_core.evaluation.true_panel import TrueWorld, true_panel
from worldgen_core.evaluation.walks_panel import Walk, walk_series, walks_panel
from worldgen_core.games.base import TileGame
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.interface import WorldModel
from worldgen_core.seeds import derive_seed
from worldgen_core.tracking.quality import measure_track

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TileMeasured:
    """The panels of a tile game by name, their curves, and the walks to be looked at."""

    panels: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    series: dict[str, dict[str, list[Any]]] = field(default_factory=dict[str, dict[str, list[Any]]])
    walks: tuple[Walk, ...] = ()


def plan_for(
    settings: EvaluateSettings, dataset: ClipReader, num_context_frames: int
) -> TilePlan | TileMeasured:
    """The plan for a game whose player can be tracked; for other games, panels already: none.

    Where the recording is too short or too odd to learn the player's looks from, the panels say so and have
    no figures: what cannot be measured does not pass.
    """
    game = get_facts(settings.game)
    tracking, world_seed = game.assumptions.tracking, settings.world_seed
    if tracking is None:
        return TileMeasured()
    true = None
    if isinstance(game, TileGame) and world_seed is not None:
        true = TrueWorld(game, world_seed)
    try:
        return plan_tiles(settings.tiles, dataset, tracking, num_context_frames=num_context_frames, true=true)
    except TrackingError as error:
        log.warning("what the player does cannot be measured: %s", error)
        return TileMeasured(panels={name: {"problem": str(error)} for name in ("moves", "walks")})


class _Row(NamedTuple):
    """A dream to be had: actions that follow frame `first` of an episode."""

    episode: int
    first: int
    action: Int64[np.ndarray, " n"]


class _Dreamt(NamedTuple):
    frames: UInt8[np.ndarray, "n h w 3"]
    seen: Tracked | None
    """The track, from the start's frame on; None where none is wanted."""


class TileJobs:
    """Dreams all that a plan asks for, batch by batch, and tracks it."""

    def __init__(self, pool: JobPool, plan: TilePlan, *, batch_size: int, seed: int, meter: Meter) -> None:
        self._pool = pool
        self._plan = plan
        self._past = pool.num_context_frames - 1
        self._batch_size = batch_size
        self._seed = seed
        self._meter = meter
        recordings, num_frames = plan.recordings, plan.walk_frames
        walks = [
            _Row(episode, first, recordings[episode].action[first : first + num_frames])
            for episode, first in plan.walks
        ]
        self._walks = self._submit("walks", walks)
        self._moves = self._submit("moves", [_Row(own.episode, own.first, own.action) for own in plan.tries])
        true_rows = [_Row(own.episode, own.first, own.action) for own in plan.true_tries]
        self._true = self._submit("true", true_rows, is_tracked=False)

    def result(self, settings: TileSettings) -> TileMeasured:
        """Wait for all of it, and take the panels."""
        plan, reader = self._plan, self._plan.reader
        panels: dict[str, dict[str, Any]] = {}
        series: dict[str, dict[str, list[Any]]] = {}
        moves = [_track(dreamt) for dreamt in self._moves()]
        panels["moves"] = moves_panel(
            plan.tries,
            moves,
            plan.recordings,
            settings,
            reader.settings,
            facings=plan.facings,
            speed_px=plan.speed_px,
        )
        walks = [self._walk(row, dreamt) for row, dreamt in zip(plan.walks, self._walks(), strict=True)]
        if walks:
            home, tile_px = reader.bank.home, reader.settings.tile_px
            panels["walks"] = walks_panel(
                walks, home=home, tile_px=tile_px, sharpness_frames=settings.sharpness_frames
            )
            panels["walks"]["reader_facing_share"] = self._reader_facing_share()
            series["walks"] = walk_series(walks, home=home, tile_px=tile_px)
        if plan.true is not None:
            frames = [dreamt.frames for dreamt in self._true()]
            panels["true"] = true_panel(plan.true_tries, frames, plan.true, num_frames=settings.true_frames)
        return TileMeasured(panels, series, tuple(walks))

    def _reader_facing_share(self) -> float | None:
        """Of the recorded frames that move the way of a held key: in which the player is read to face it."""
        plan = self._plan
        shares = [
            measure_track(
                own.tracked.camera, own.tracked.track, own.action, plan.action_names, plan.reader.settings
            ).facing_share
            for own in plan.recordings
        ]
        known = [share for share in shares if not math.isnan(share)]
        return float(np.mean(known)) if known else None

    def _submit(self, name: str, rows: Sequence[_Row], *, is_tracked: bool = True) -> _Later:
        """Start the dreams, those of like length together."""
        batches = batches_by_length([len(row.action) for row in rows], self._batch_size)
        running = [
            self._pool.submit(
                partial(
                    self._dream,
                    rows=[rows[index] for index in batch],
                    seed=derive_seed(self._seed, name, number),
                    is_tracked=is_tracked,
                )
            )
            for number, batch in enumerate(batches)
        ]
        return _Later([index for batch in batches for index in batch], running)

    def _dream(
        self, model: WorldModel, *, rows: Sequence[_Row], seed: int, is_tracked: bool
    ) -> list[_Dreamt]:
        recordings = [self._plan.recordings[row.episode] for row in rows]
        windows = [slice(row.first - self._past, row.first + 1) for row in rows]
        pairs = list(zip(recordings, windows, strict=True))
        longest = max(len(row.action) for row in rows)
        frames = dream_on(
            model,
            np.stack([recording.frames[window] for recording, window in pairs]),
            np.stack([recording.action[window][:-1] for recording, window in pairs]),
            np.stack([np.pad(row.action, (0, longest - len(row.action))) for row in rows]),
            seed=seed,
            count=self._meter,
        )
        return [
            self._dreamt(row, own[: len(row.action)], is_tracked=is_tracked)
            for row, own in zip(rows, frames, strict=True)
        ]

    def _dreamt(self, row: _Row, frames: UInt8[np.ndarray, "n h w 3"], *, is_tracked: bool) -> _Dreamt:
        if not is_tracked:
            return _Dreamt(frames, None)
        recording = self._plan.recordings[row.episode]
        track = recording.tracked.track
        y, x = track.place[row.first].tolist()
        near = (x, y) if track.found[row.first] else None
        begun = np.concatenate([recording.frames[row.first][None], frames])
        return _Dreamt(frames, follow(begun, self._plan.reader, near))

    def _walk(self, start: tuple[int, int], dreamt: _Dreamt) -> Walk:
        episode, first = start
        recording, stop = self._plan.recordings[episode], first + self._plan.walk_frames
        return Walk(
            episode=episode,
            first=first,
            action=recording.action[first:stop],
            truth=recording.frames[first + 1 : stop + 1],
            dream=dreamt.frames,
            seen=_track(dreamt),
            real=recording.tracked.part(first, stop + 1),
        )


class _Later:
    """Dreams that are on their way; called, it waits and gives them in the order in which they were asked."""

    def __init__(self, order: Sequence[int], running: Sequence[Future[list[_Dreamt]]]) -> None:
        self._order = order
        self._running = running

    def __call__(self) -> list[_Dreamt]:
        dreamt = [own for future in self._running for own in future.result()]
        return [own for _, own in sorted(zip(self._order, dreamt, strict=True), key=lambda pair: pair[0])]


def _track(dreamt: _Dreamt) -> Tracked:
    assert dreamt.seen is not None, "only dreams of the true panel go untracked"
    return dreamt.seen
