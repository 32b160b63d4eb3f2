"""The rollouts that the panels share: dreams along held-out clips, and play with a world's own randomness."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float32, Int64

from worldgen_core.evaluation.dream import (
    Dream,
    DreamSlots,
    GameSlots,
    blank_dream,
    dream_along,
    rows_by_length,
)
from worldgen_core.evaluation.jobs import JobPool, Meter
from worldgen_core.evaluation.own_play import Fresh, Play, Read, join_plays, play
from worldgen_core.evaluation.players import Player, RecordedPlayer, make_player
from worldgen_core.evaluation.recorded import RecordedSlots, recorded_context
from worldgen_core.evaluation.starts import Context, Starts, true_context
from worldgen_core.evaluation.state_panel import columns_to_read, read_heights
from worldgen_core.games.base import Game
from worldgen_core.models.interface import WorldModel
from worldgen_core.seeds import derive_seed

_OWN_WARMUP = 40
"""Lives of the own-randomness games begin at most this many frames old."""
_NUM_SLOT_GROUPS = 2
"""Own play is cut into so many jobs; more would fill more cores, but with smaller and slower batches."""


@dataclass(frozen=True)
class Along:
    """Held-out clips, the dream along them, what the state reader found in both (NaN without a reader)."""

    starts: Starts
    dream: Dream
    dream_height: Float32[np.ndarray, "b n"]
    truth_height: Float32[np.ndarray, "b n"]


class AlongJobs:
    """Dreams along held-out clips, group by group, the longest first."""

    def __init__(
        self,
        pool: JobPool,
        starts: Starts,
        *,
        read: Read | None,
        gives_truth: bool,
        seed: int,
        batch_size: int,
        meter: Meter,
    ) -> None:
        self._gives_truth = gives_truth
        blank = np.full(starts.action.shape, np.nan, dtype=np.float32)
        self._along = Along(starts, blank_dream(starts), blank.copy(), blank.copy())
        groups = list(enumerate(rows_by_length(starts, batch_size)))
        self._running: list[Future[None]] = [
            pool.submit(
                partial(self._run, rows=rows, read=read, seed=derive_seed(seed, "group", group), meter=meter)
            )
            for group, rows in reversed(groups)
        ]

    def result(self) -> Along:
        """Wait for all of it."""
        for future in self._running:
            future.result()
        return self._along

    def _run(
        self,
        model: WorldModel,
        *,
        rows: Int64[np.ndarray, " rows"],
        read: Read | None,
        seed: int,
        meter: Meter,
    ) -> None:
        along = self._along
        dream_along(
            model, along.starts, rows, along.dream, gives_truth=self._gives_truth, seed=seed, count=meter
        )
        if read is not None:
            # Choosing rows by an index array copies them, so heights go back by the same index.
            wanted = columns_to_read(along.starts.alive)[rows]
            along.dream_height[rows] = read_heights(read, along.dream.frames[rows], wanted)
            along.truth_height[rows] = read_heights(read, along.starts.truth[rows], wanted)


class OwnPlayJobs:
    """Players in the dream and in the true game, each with its own randomness, from the same contexts."""

    def __init__(
        self,
        pool: JobPool,
        game: Game,
        names: list[str],
        *,
        num_frames: int,
        game_frames: int,
        seed: int,
        meter: Meter,
    ) -> None:
        self._game = game
        self._seed = seed
        self._meter = meter
        slots = np.array_split(np.arange(len(names)), min(_NUM_SLOT_GROUPS, len(names)))
        groups = [[(int(slot), names[slot]) for slot in group] for group in slots]
        self._dreams = [
            pool.submit(partial(self._dream, group=group, num_frames=num_frames)) for group in groups
        ]
        self._games = [
            pool.submit(partial(self._true, group=group, num_frames=game_frames)) for group in groups
        ]

    def result(self) -> tuple[Play, Play]:
        """Wait for all of it; play in the dream, play in the game."""
        return (
            join_plays([future.result() for future in self._dreams]),
            join_plays([future.result() for future in self._games]),
        )

    def _dream(self, model: WorldModel, *, group: list[tuple[int, str]], num_frames: int) -> Play:
        fresh = self._fresh(group, model.num_context_frames)
        contexts = [fresh(position, 0) for position in range(len(group))]
        slots = DreamSlots(model, contexts, seed=derive_seed(self._seed, "dream", group[0][0]))
        return self._play(slots, group, fresh, num_frames)

    def _true(self, model: WorldModel, *, group: list[tuple[int, str]], num_frames: int) -> Play:
        fresh = self._fresh(group, model.num_context_frames)
        slots = GameSlots([fresh(position, 0) for position in range(len(group))])
        return self._play(slots, group, fresh, num_frames)

    def _play(
        self, slots: DreamSlots | GameSlots, group: list[tuple[int, str]], fresh: Fresh, num_frames: int
    ) -> Play:
        names = [name for _, name in group]
        players = [
            make_player(name, self._game, derive_seed(self._seed, "slot", slot)) for slot, name in group
        ]
        read = self._game.read_state
        return play(slots, players, names, fresh, num_frames=num_frames, read=read, count=self._meter)

    def _fresh(self, group: list[tuple[int, str]], num_context_frames: int) -> Fresh:
        def fresh(position: int, life: int) -> Context:
            own_seed = derive_seed(self._seed, "life", group[position][0], life)
            return true_context(
                self._game, seed=own_seed, num_frames=num_context_frames, max_warmup=_OWN_WARMUP
            )

        return fresh


def recorded_play(
    model: WorldModel, starts: Starts, *, num_frames: int, seed: int, count: Callable[[int], None]
) -> Play:
    """Dream on and on from recorded contexts under recorded actions, round and round."""
    rows = range(len(starts.death))
    slots = DreamSlots(model, [recorded_context(starts, row) for row in rows], seed=seed)
    return _recorded(slots, starts, num_frames, count)


def recorded_reference(starts: Starts) -> Play:
    """The recordings themselves, measured like a dream."""
    return _recorded(RecordedSlots(starts), starts, starts.action.shape[1], lambda _: None)


def _recorded(
    slots: DreamSlots | RecordedSlots, starts: Starts, num_frames: int, count: Callable[[int], None]
) -> Play:
    players: list[Player] = [RecordedPlayer(actions.tolist()) for actions in starts.action]
    num_rows = len(players)

    def fresh(slot: int, life: int) -> Context:
        return recorded_context(starts, (slot + life) % num_rows)

    names = ["recorded"] * num_rows
    return play(slots, players, names, fresh, num_frames=num_frames, read=None, count=count)
