"""Pictures of sliced episodes with their actions written on them, to be judged by eye."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from storage.atomic import write_bytes
from storage.records import Episode

SAMPLE_FILE = "sample.png"
_ROWS = 4
_COLUMNS = 8
_EVERY = 3
_ZOOM_TO = 160


class SampleStrip:
    """Keeps a few runs of frames as episodes pass by: one row an episode."""

    def __init__(self, action_names: tuple[str, ...], num_episodes: int) -> None:
        self._names = action_names
        self._every = max(num_episodes // _ROWS, 1)
        self._rows: list[UInt8[np.ndarray, "h w 3"]] = []

    def watch(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """Hand on every episode, and remember some of its frames."""
        for index, episode in enumerate(episodes):
            if index % self._every == 0 and len(self._rows) < _ROWS:
                self._rows.append(self._row(episode))
            yield episode

    def _row(self, episode: Episode) -> UInt8[np.ndarray, "h w 3"]:
        """A run of frames from where most happens in the first half, each with the action that follows it."""
        last = max(episode.num_frames - _COLUMNS * _EVERY, 0)
        pressed = np.flatnonzero(np.diff(episode.action[: last + 1]))
        first = min(int(pressed[len(pressed) // 2]) if len(pressed) else 0, last)
        shown = range(first, min(first + _COLUMNS * _EVERY, episode.num_frames), _EVERY)
        tiles = [self._tile(episode.frames[t], self._names[int(episode.action[t])]) for t in shown]
        tiles += [np.zeros_like(tiles[0])] * (_COLUMNS - len(tiles))
        return np.concatenate(tiles, axis=1)

    def _tile(self, frame: UInt8[np.ndarray, "h w 3"], name: str) -> UInt8[np.ndarray, "h w 3"]:
        zoom = max(round(_ZOOM_TO / frame.shape[1]), 1)
        tile = np.ascontiguousarray(frame.repeat(zoom, 0).repeat(zoom, 1))
        for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(tile, name, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, width, cv2.LINE_AA)
        return tile

    def write(self, path: Path) -> None:
        """Write the rows as a PNG."""
        picture = cv2.cvtColor(np.concatenate(self._rows, axis=0), cv2.COLOR_RGB2BGR)
        write_bytes(path, cv2.imencode(".png", picture)[1].tobytes())
