"""Recordings of play: frames, and one action a frame in the project's own label format.

Line i of the action file is what was pressed at frame i, and shows first in frame i + 1 (ARCHITECTURE.md
section 3), so a folder with both files is what `worldgen doctor` and `worldgen build --data` read.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from worldgen_core.evaluation.animation import enlarge, write_gif
from worldgen_core.evaluation.mp4 import write_mp4
from worldgen_core.games.base import Frame
from worldgen_core.play.session import Moment, View

_MP4_HEIGHT = 480
_GIF_HEIGHT = 256
"""Rows of the pictures, about."""
_GIF_S = 20
_GAP = 4


class Recorder:
    """Collects what one view shows, compressed, up to a number of frames."""

    def __init__(self, view: View, first: Moment, *, max_frames: int) -> None:
        self.view: View = view
        self._max_frames = max_frames
        self._frames: list[bytes] = []
        self._actions: list[int] = []
        self._shape = self._picture(first).shape
        self._keep(first)

    @property
    def is_full(self) -> bool:
        """Whether no further frame fits."""
        return len(self._frames) >= self._max_frames

    @property
    def num_frames(self) -> int:
        """Frames so far."""
        return len(self._frames)

    def add(self, moment: Moment) -> None:
        """Add the frame that `moment.action` led to; nothing more is added once it is full."""
        if not self.is_full:
            self._actions.append(moment.action)
            self._keep(moment)

    def cut(self, moment: Moment) -> None:
        """Add the first frame of a new life: no action leads to it."""
        if not self.is_full:
            self._actions.append(0)
            self._keep(moment)

    def finish(self) -> Recording:
        """What was recorded; the last frame's action is none, as nothing is known of it."""
        return Recording(self.view, self._shape, tuple(self._frames), (*self._actions, 0))

    def _keep(self, moment: Moment) -> None:
        self._frames.append(zlib.compress(self._picture(moment).tobytes(), 1))

    def _picture(self, moment: Moment) -> UInt8[np.ndarray, "h any c"]:
        if self.view == "dream" or moment.game is None:
            if self.view == "both":
                return _side_by_side(np.zeros_like(moment.dream), moment.dream)
            return moment.dream
        return moment.game if self.view == "game" else _side_by_side(moment.game, moment.dream)


class Recording:
    """A finished recording, and its files."""

    def __init__(
        self, view: View, shape: tuple[int, ...], frames: tuple[bytes, ...], actions: tuple[int, ...]
    ) -> None:
        self.view: View = view
        self.actions = actions
        self._shape = shape
        self._frames = frames

    @property
    def num_frames(self) -> int:
        """Frames, and actions."""
        return len(self._frames)

    def frames(self, limit: int | None = None) -> Iterator[UInt8[np.ndarray, "h w c"]]:
        """The frames in their own size, at most `limit` of them, unpacked one after another."""
        for data in self._frames[:limit]:
            yield np.frombuffer(zlib.decompress(data), np.uint8).reshape(self._shape)

    def action_file(self, action_names: Sequence[str]) -> bytes:
        """One action name a line, a line a frame."""
        return "".join(f"{action_names[action]}\n" for action in self.actions).encode()

    def mp4(self, fps: float) -> bytes:
        """An H.264 video, every pixel a square; memory does not grow with its length."""
        pictures = self._pictures(_MP4_HEIGHT, None)
        return _written("play.mp4", lambda path: write_mp4(pictures, path, fps=fps))

    def gif(self, fps: float) -> bytes:
        """An endless GIF of the first 20 s, smaller than the video: its pictures are held all at once."""
        pictures = list(self._pictures(_GIF_HEIGHT, round(_GIF_S * fps)))
        return _written("play.gif", lambda path: write_gif(pictures, path, fps=fps))

    def _pictures(self, height: int, limit: int | None) -> Iterator[Image.Image]:
        scale = max(1, round(height / self._shape[0]))
        scale += scale % 2  # even sides, which 4:2:0 needs
        return (enlarge(frame, scale) for frame in self.frames(limit))


def _written(name: str, write: Callable[[Path], None]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="worldgen-play-") as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()


def _side_by_side(left: Frame, right: Frame) -> UInt8[np.ndarray, "h both c"]:
    gap = np.zeros((left.shape[0], _GAP, 3), np.uint8)
    return np.concatenate([left, gap, right], axis=1)
