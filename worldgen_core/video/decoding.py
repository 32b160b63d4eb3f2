"""Frames of a video by presentation index, decoded in another process, small and in bounded memory.

`decode` gives the wanted frames in colour, `decode_all` every frame in gray for the signals of `scenes`, and
`VideoReader` single frames in any order. All three give what could be decoded and then report, by index, what
could not. Memory does not grow with the video: a few pictures wait in a pipe, and the decoder pauses.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Int64

from worldgen_core.errors import ConfigError, VideoError
from worldgen_core.video import wire
from worldgen_core.video.limit_settings import DecodeLimits
from worldgen_core.video.records import Box, DecodeReport, Picture, VideoFacts
from worldgen_core.video.safe_files import shown
from worldgen_core.video.settings import Deinterlace
from worldgen_core.video.worker import DecodeWorker

Size = tuple[int, int]
"""Height and width."""


class Decoding:
    """Pictures to iterate over once; `report` says afterwards what became of the wanted frames."""

    def __init__(
        self, facts: VideoFacts, pictures: Generator[Picture, None, dict[str, Any]], num_wanted: int
    ) -> None:
        self._facts = facts
        self._pictures = pictures
        self._num_wanted = num_wanted
        self._num_decoded = 0
        self._result: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Picture]:
        """The pictures by ascending index; raises VideoError if the decoder dies."""
        while True:
            try:
                picture = next(self._pictures)
            except StopIteration as end:
                self._result = end.value if end.value is not None else self._result
                return
            self._num_decoded += 1
            yield picture

    def close(self) -> None:
        """Stop decoding before the end."""
        self._pictures.close()

    @property
    def report(self) -> DecodeReport:
        """Counts and lost frames; only after the last picture."""
        if self._result is None:
            raise VideoError(
                shown(self._facts.path.name),
                expected="a report after the last picture",
                found="pictures that nobody has taken yet",
                next_step="iterate to the end first",
            )
        return DecodeReport(
            num_wanted=self._num_wanted,
            num_decoded=self._num_decoded,
            missing=tuple(self._result["missing"]),
            corrupt=tuple(self._result["corrupt"]),
            damaged=tuple((first, last) for first, last in self._result["damaged"]),
            notes=tuple(self._result["notes"]),
        )


def decode(
    facts: VideoFacts,
    indices: Int64[np.ndarray, " k"] | Sequence[int],
    size: Size,
    *,
    crop: Box | None = None,
    deinterlace: Deinterlace = "auto",
    limits: DecodeLimits | None = None,
    num_threads: int = 1,
    worker: DecodeWorker | None = None,
) -> Decoding:
    """RGB pictures (h, w, 3) of the frames with the given presentation indices.

    indices: strictly ascending. Frames before, between and after them are decoded only where they are needed.
    size: height and width of the result; the shrinking averages areas. `crop` is in pixels of the picture as
    it is shown (after rotation), and comes first. `auto` deinterlaces what the file flags as interlaced.
    Colours: BT.601 unless the file names another matrix, as libav has it.
    Raises: ConfigError for indices, a size or a box that do not fit the video.
    """
    return _start(facts, indices, size, 3, crop, deinterlace, limits, num_threads, worker)


def decode_all(
    facts: VideoFacts,
    size: Size,
    *,
    crop: Box | None = None,
    deinterlace: Deinterlace = "auto",
    limits: DecodeLimits | None = None,
    num_threads: int = 1,
    worker: DecodeWorker | None = None,
) -> Decoding:
    """Every frame as a gray picture (h, w, 1): luma from 0 to 255, black being 0."""
    indices = np.arange(facts.num_demuxed)
    return _start(facts, indices, size, 1, crop, deinterlace, limits, num_threads, worker)


class VideoReader:
    """Single frames of a video by presentation index, in any order.

    A context manager. Going forward is cheap; another place costs a seek and decoding from its key frame.
    """

    def __init__(
        self, facts: VideoFacts, size: Size | None = None, *, limits: DecodeLimits | None = None
    ) -> None:
        self.facts = facts
        self.size: Size = size or (facts.height, facts.width)
        self._worker = DecodeWorker(limits)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the decoding process."""
        self._worker.close()

    def frame(self, index: int) -> Picture:
        """The frame with this presentation index, RGB.

        Raises: VideoError if it cannot be decoded; ConfigError if the video has no such frame.
        """
        decoding = decode(self.facts, [index], self.size, worker=self._worker)
        pictures = list(decoding)
        if not pictures:
            notes = "; ".join(decoding.report.notes) or "the decoder gave no reason"
            raise VideoError(
                shown(self.facts.path.name),
                expected=f"frame {index} of {self.facts.num_demuxed}",
                found=f"data that cannot be decoded ({notes})",
                next_step="record or copy the file again, or leave the frame out",
            )
        return pictures[0]


def _start(
    facts: VideoFacts,
    indices: Int64[np.ndarray, " k"] | Sequence[int],
    size: Size,
    num_channels: int,
    crop: Box | None,
    deinterlace: Deinterlace,
    limits: DecodeLimits | None,
    num_threads: int,
    worker: DecodeWorker | None,
) -> Decoding:
    wanted = _checked_indices(facts, indices)
    _check_box(facts, size, crop)
    is_turned = facts.rotation in (90, 270)
    request = {
        "do": "decode",
        "path": str(facts.path.resolve()),
        "container": facts.container,
        "fingerprint": [facts.num_demuxed, int(facts.pts[0]), int(facts.pts[-1])],
        "coded_size": [facts.height, facts.width] if is_turned else [facts.width, facts.height],
        "height": size[0],
        "width": size[1],
        "num_channels": num_channels,
        "rotation": facts.rotation,
        "crop": list(crop) if crop else None,
        "deinterlace": deinterlace == "always" or (deinterlace == "auto" and facts.is_interlaced),
        "num_threads": num_threads,
    }
    pictures = _pictures(facts, request, wanted, (*size, num_channels), worker, limits)
    return Decoding(facts, pictures, wanted.size)


def _pictures(
    facts: VideoFacts,
    request: dict[str, Any],
    wanted: Int64[np.ndarray, " k"],
    shape: tuple[int, int, int],
    worker: DecodeWorker | None,
    limits: DecodeLimits | None,
) -> Generator[Picture, None, dict[str, Any]]:
    """The pictures of one request; returns its result."""
    own = None if worker is not None else DecodeWorker(limits)
    messages = (worker or own or DecodeWorker()).ask(
        shown(facts.path.name), request, wanted, int(np.prod(shape))
    )
    try:
        while True:
            try:
                kind, index, payload = next(messages)
            except StopIteration as end:
                return end.value
            if kind == wire.PICTURE:
                yield Picture(payload.reshape(shape), index)
    finally:
        messages.close()
        if own is not None:
            own.close()


def _checked_indices(
    facts: VideoFacts, indices: Int64[np.ndarray, " k"] | Sequence[int]
) -> Int64[np.ndarray, " k"]:
    wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
    inside = wanted.size == 0 or (wanted[0] >= 0 and wanted[-1] < facts.num_demuxed)
    if not inside or bool((np.diff(wanted) <= 0).any()):
        raise ConfigError(
            f"frames of {shown(facts.path.name)}",
            expected=f"ascending indices from 0 to {facts.num_demuxed - 1}",
            found=f"{wanted.size} indices from {wanted.min()} to {wanted.max()}",
            next_step="sort the indices, without repeats, and keep them inside the video",
        )
    return wanted


def _check_box(facts: VideoFacts, size: Size, crop: Box | None) -> None:
    box = crop or Box(0, 0, facts.width, facts.height)
    fits = box.x >= 0 and box.y >= 0 and box.width > 0 and box.height > 0
    fits = fits and box.x + box.width <= facts.width and box.y + box.height <= facts.height
    if not fits or min(size) < 1:
        raise ConfigError(
            f"picture of {shown(facts.path.name)}",
            expected=f"a box inside {facts.width}x{facts.height} and a size of at least 1x1",
            found=f"box {tuple(box)}, size {size[1]}x{size[0]}",
            next_step="correct crop and size",
        )
