"""Panel `moves`: what keys do in the dream, by the player's tracked position, and in the recording.

Motion is that of the player through the world: what it moves on the screen plus what the camera moves. A
figure named `reader_…` is the same one taken from the recording's own frames, of the recorded tries: what is
left of it is the tracker's own error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int64

from worldgen_core.evaluation.tile_settings import TileSettings
from worldgen_core.evaluation.tracked import Tracked
from worldgen_core.evaluation.tries import Kind, Recording, Try, place_of
from worldgen_core.evaluation.ways import SLACK_PX, off_edge
from worldgen_core.tracking.settings import STEPS, Facing, TrackingSettings

Way = Literal["right", "wrong", "still", "lost"]


def moves_panel(
    tries: Sequence[Try],
    dreams: Sequence[Tracked],
    recordings: Sequence[Recording],
    settings: TileSettings,
    tracking: TrackingSettings,
    *,
    facings: Sequence[Facing | None],
    speed_px: int,
) -> dict[str, Any]:
    """Judge every try in the dream; `dreams[i]` begins with the frame in which `tries[i]` starts.

    `speed_px` is what a moving frame of the game moves by.
    """
    truths = [_truth(recordings[own.episode], own) if own.is_recorded else None for own in tries]
    starts = {(own.episode, own.first) for own in tries}
    places = {
        place_of(recordings[episode], episode, first, settings.place_tiles) for episode, first in starts
    }
    panel: dict[str, Any] = {
        "num_starts": len(starts),
        "num_places": len(places),
        "speed_px": speed_px,
    }
    judges: dict[Kind, Callable[[Tracked, Facing], dict[str, bool]]] = {
        "held": lambda seen, facing: held_way(seen, facing, tracking.tile_px),
        "blocked": lambda seen, _: {"blocked_stays": stays(seen)},
        "tap": lambda seen, facing: {"tap_on_edge": ends_on_edge(seen, facing, tracking.tile_px)},
    }
    for kind, judge in judges.items():
        panel |= _figures(kind, tries, dreams, truths, judge)
    return panel | _let_go(recordings, facings) | _exactness(tries, dreams, recordings, speed_px)


def held_way(seen: Tracked, facing: Facing, tile_px: int) -> dict[str, bool]:
    """Which way the player had gone when first it was half a tile from where it started."""
    gone, is_valid = _gone(seen)
    far = np.flatnonzero(is_valid & (np.abs(gone).max(axis=1) >= max(tile_px // 2, 1)))
    way: Way = "still" if is_valid.all() else "lost"
    if len(far):
        dy, dx = gone[far[0]].tolist()
        step = STEPS[facing]
        along, across = dy * step[0] + dx * step[1], dy * step[1] + dx * step[0]
        way = "right" if along > abs(across) else "wrong"
    return {"right_way": way == "right", "wrong_way": way == "wrong", "held_lost": way == "lost"}


def stays(seen: Tracked) -> bool:
    """Whether the player never left its place, and is still to be seen there."""
    gone, is_valid = _gone(seen)
    return bool(is_valid[-1] and np.abs(gone[is_valid]).max() <= SLACK_PX)


def ends_on_edge(seen: Tracked, facing: Facing, tile_px: int) -> bool:
    """Whether the player rests in the end, whole tiles from where it started, the way of the key."""
    gone, is_valid = _gone(seen)
    if not is_valid[-2:].all() or (gone[-1] != gone[-2]).any():
        return False
    step = np.array(STEPS[facing])
    along = int(gone[-1] @ step)
    is_straight = np.abs(gone[-1] - along * step).max() <= SLACK_PX
    return bool(along > SLACK_PX and is_straight and off_edge(gone[-1:], tile_px)[0] <= SLACK_PX)


def _gone(seen: Tracked) -> tuple[Int64[np.ndarray, "t 2"], Bool[np.ndarray, " t"]]:
    """How far the player is from where it was in the first frame, and where that is known."""
    is_valid = seen.is_found & (seen.scene == seen.scene[0])
    return seen.position - seen.position[0], is_valid


def _truth(recording: Recording, own: Try) -> Tracked:
    """The recording's own track of a try."""
    return recording.tracked.part(own.first, own.first + len(own.action) + 1)


def _figures(
    kind: Kind,
    tries: Sequence[Try],
    dreams: Sequence[Tracked],
    truths: Sequence[Tracked | None],
    judge: Callable[[Tracked, Facing], dict[str, bool]],
) -> dict[str, Any]:
    """Shares over all tries of a kind, over those that follow the recording, and of the recording itself."""
    rows = [index for index, own in enumerate(tries) if own.kind == kind]
    recorded = [index for index in rows if tries[index].is_recorded]
    dreamt = {index: judge(dreams[index], tries[index].facing) for index in rows}
    read = [judge(truth, tries[index].facing) for index in recorded if (truth := truths[index]) is not None]
    panel: dict[str, Any] = {f"num_{kind}": len(rows), f"num_{kind}_recorded": len(recorded)}
    names = list(next(iter(dreamt.values()))) if dreamt else []
    for name in names:
        panel[f"{name}_share"] = _share([dreamt[index][name] for index in rows])
        panel[f"recorded_{name}_share"] = _share([dreamt[index][name] for index in recorded])
        panel[f"reader_{name}_share"] = _share([row[name] for row in read])
    return panel


def exact_frames(seen: Tracked, speed_px: int) -> Bool[np.ndarray, " n"]:
    """For each moving frame, whether it moves by the game's pixels.

    The first and the last frame of a walk may move by less, since a walk begins and ends between two frames
    where a video shows only some of the game's; their neighbour must go the same way.
    """
    motion, is_moving = seen.world.motion, seen.world.is_moving
    length, way = np.abs(motion).sum(axis=1), np.sign(motion)
    goes_on = np.append((way[1:] == way[:-1]).all(axis=1), False)
    came_on = np.append(False, goes_on[:-1])
    is_end = is_moving & (goes_on != came_on)
    return ((length == speed_px) | (is_end & (length < speed_px)))[is_moving]


def _exactness(
    tries: Sequence[Try], dreams: Sequence[Tracked], recordings: Sequence[Recording], speed_px: int
) -> dict[str, Any]:
    """Moving frames of all tries but those against something, and of the recording."""
    moving = [seen for own, seen in zip(tries, dreams, strict=True) if own.kind != "blocked"]
    exact, read = (
        np.concatenate([np.zeros(0, np.bool_), *(exact_frames(seen, speed_px) for seen in tracks)])
        for tracks in (moving, [recording.tracked for recording in recordings])
    )
    return {
        "num_moving_frames": len(exact),
        "exact_motion_share": _share(exact),
        "reader_exact_motion_share": _share(read),
    }


def _let_go(recordings: Sequence[Recording], facings: Sequence[Facing | None]) -> dict[str, Any]:
    """Where walks of the recording end whose key was let go during a step."""
    on_edge = np.concatenate([np.zeros(0, np.bool_), *(_ends_let_go(own, facings) for own in recordings)])
    return {"num_let_go_recorded": len(on_edge), "reader_tap_on_edge_share": _share(on_edge)}


def _ends_let_go(recording: Recording, facings: Sequence[Facing | None]) -> Bool[np.ndarray, " n"]:
    world, walks = recording.tracked.world, np.array([facing is not None for facing in facings])
    is_end = np.zeros(len(recording.action), np.bool_)
    is_end[1:-1] = world.is_moving[:-2] & world.is_resting[1:-1] & world.is_resting[2:]
    is_end[1:] &= ~walks[recording.action[:-1]]
    return recording.ways.is_on_edge[is_end]


def _lengths(tracks: Sequence[Tracked]) -> Int64[np.ndarray, " n"]:
    """Length of every motion, both axes together."""
    lengths = [np.abs(seen.world.motion[seen.world.is_moving]).sum(axis=1) for seen in tracks]
    return np.concatenate([np.zeros(0, np.int64), *lengths])


def commonest_speed(recordings: Sequence[Recording]) -> int:
    """The commonest length of a moving frame's motion in recordings; 0 if nothing moves."""
    counts = Counter(_lengths([recording.tracked for recording in recordings]).tolist())
    return int(counts.most_common(1)[0][0]) if counts else 0


def _share(is_true: Sequence[bool] | np.ndarray) -> float | None:
    return float(np.mean(is_true)) if len(is_true) else None
