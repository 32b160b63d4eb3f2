"""Panel `true`: the dream of a tile game against the true simulator, under the same actions.

Both go on from rests of the held-out recording, on maps that training has seen: the simulator from what the
start's frame shows, under the recording's actions; and, at every side that is blocked in the simulator, under
a key held against it. A figure named `reader_…` is the same one taken from the simulator's own frames: what
is left of it is the state reader's error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64, UInt8

from worldgen_core.evaluation.tries import Recording, rest_starts
from worldgen_core.games.base import Frame, TileGame, TrueTileState
from worldgen_core.tracking.settings import FACINGS, Facing

_MAX_DIFFERENCE = 6.0
"""Mean grey levels by which the simulator's picture of a start may differ from the recording's."""


@dataclass(frozen=True)
class TrueTry:
    """Actions from frame `first` of an episode, the true state and frame after the last of them.

    `walk` follows the recording; `wall` holds a key against a blocked side.
    """

    kind: Literal["walk", "wall"]
    episode: int
    first: int
    action: Int64[np.ndarray, " n"]
    state: TrueTileState
    frame: UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class TrueWorld:
    """A game with the seed of the world that a recording shows."""

    game: TileGame
    world_seed: int

    def look(self, frame: Frame) -> TrueTileState | None:
        """What a frame shows; None where nobody is found."""
        found = self.game.locate(frame, self.world_seed)
        return None if found is None else found.state

    def play(self, frame: Frame, action: Int64[np.ndarray, " n"]) -> tuple[TrueTileState, Frame] | None:
        """State and frame after actions from where a frame stands; None where the frame is not the game's."""
        simulator = self.game.locate(frame, self.world_seed)
        if simulator is None:
            return None
        difference = np.abs(simulator.frame.astype(np.int16) - frame).mean()
        if difference > _MAX_DIFFERENCE:
            return None
        for act in action.tolist():
            simulator.advance(act)
        return simulator.state, simulator.frame


def choose_true_tries(
    recordings: Sequence[Recording],
    true: TrueWorld,
    *,
    facings: list[Facing | None],
    num_context_frames: int,
    num_starts: int,
    num_frames: int,
    wall_frames: int,
) -> list[TrueTry]:
    """From at most `num_starts` rests, one try that follows the recording, and one at every blocked side.

    Left out are starts that the simulator cannot show (somebody speaks, a fade), and tries that end in such.
    """
    rests = [
        (episode, first)
        for episode, recording in enumerate(recordings)
        for first in rest_starts(recording, facings, num_context_frames)
        if first + num_frames < len(recording.action)
    ]
    every = np.linspace(0, len(rests) - 1, min(num_starts, len(rests))).astype(int)
    tries: list[TrueTry] = []
    for episode, first in (rests[index] for index in every):
        recording = recordings[episode]
        frame, after = recording.frames[first], recording.action[first : first + num_frames]
        tries += _played("walk", episode, first, after, true, frame)
        for facing in FACINGS:
            held = np.full(wall_frames, facings.index(facing), np.int64)
            wall = _played("wall", episode, first, held, true, frame)
            begin = true.look(frame)
            tries += [own for own in wall if begin is not None and _distance(own.state, begin) == 0]
    return tries


def true_panel(
    tries: Sequence[TrueTry],
    dreams: Sequence[UInt8[np.ndarray, "_ h w 3"]],
    true: TrueWorld,
    *,
    num_frames: int,
) -> dict[str, Any]:
    """Compare what the dream shows after the last action of each try with the true state.

    A tile agrees where the map is the same and the player less than half a tile off, along both axes; at a
    wall a quarter of a tile, and the player must face it.
    """
    tile = true.game.tile_size
    panel: dict[str, Any] = {"num_frames": num_frames}
    for kind, name, slack in (("walk", "true_tile", tile / 2), ("wall", "true_wall", tile / 4)):
        rows = [index for index, own in enumerate(tries) if own.kind == kind]
        shown = [true.look(dreams[index][len(tries[index].action) - 1]) for index in rows]
        read = [true.look(tries[index].frame) for index in rows]
        truths = [tries[index].state for index in rows]
        panel[f"num_{kind}s"] = len(rows)
        panel[f"{name}_share"] = _agreement(shown, truths, slack)
        panel[f"reader_{name}_share"] = _agreement(read, truths, slack)
        panel[f"{kind}_place_share"] = _agreement(shown, truths, slack, faces=False)
        panel[f"{kind}_found_share"] = _share([state is not None for state in shown])
    return panel


def _played(
    kind: Literal["walk", "wall"],
    episode: int,
    first: int,
    action: Int64[np.ndarray, " n"],
    true: TrueWorld,
    frame: Frame,
) -> list[TrueTry]:
    played = true.play(frame, action)
    if played is None or played[0].is_dialog or played[0].is_fading:
        return []
    return [TrueTry(kind, episode, first, action, *played)]


def _agreement(
    shown: Sequence[TrueTileState | None],
    truths: Sequence[TrueTileState],
    slack: float,
    *,
    faces: bool = True,
) -> float | None:
    return _share(
        [
            state is not None
            and _distance(state, truth) < slack
            and (not faces or state.facing == truth.facing)
            for state, truth in zip(shown, truths, strict=True)
        ]
    )


def _distance(state: TrueTileState, other: TrueTileState) -> float:
    """Native pixels between two players, along the longer axis; infinite on different maps."""
    if state.map_id != other.map_id:
        return float("inf")
    across = state.camera_x + state.x - other.camera_x - other.x
    down = state.camera_y + state.y - other.camera_y - other.y
    return max(abs(across), abs(down))


def _share(is_true: Sequence[bool]) -> float | None:
    return float(np.mean(is_true)) if is_true else None
