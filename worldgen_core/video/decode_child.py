"""The decoding process: `python -m worldgen_core.video.decode_child CELL_FD MEMORY_BYTES`.

It reads requests from its standard input and answers on its standard output, one after the other, until the
input ends. It has limits on memory, processor time, open files and files written, and opens no file but the
one it was asked for. libav may crash here: the process that asked then reads the end of the pipe, and the
number of frames decoded so far from a page that both map.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import resource
import sys
import time
from typing import Any

import cv2
import numpy as np
from av.error import FFmpegError

from worldgen_core.video import wire
from worldgen_core.video.frame_source import FrameSource
from worldgen_core.video.packets import describe
from worldgen_core.video.picture_maker import PictureMaker
from worldgen_core.video.refusal import Refusal
from worldgen_core.video.stream_facts import read_facts

_BEAT_S = 0.5


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not get among the answers
    cell = mmap.mmap(int(sys.argv[1]), mmap.PAGESIZE)
    _limit(int(sys.argv[2]))
    cv2.setNumThreads(1)
    child = Child(answers, cell)
    child.say_ready()
    while True:
        head = sys.stdin.buffer.read(wire.REQUEST.size)
        if len(head) < wire.REQUEST.size:
            return
        num_json, num_indices = wire.REQUEST.unpack(head)
        request = json.loads(sys.stdin.buffer.read(num_json))
        wanted = np.frombuffer(sys.stdin.buffer.read(8 * num_indices), np.int64)
        try:
            child.answer(request, wanted)
        except BrokenPipeError:
            return


def _limit(memory_bytes: int) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 1 << 20),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))


class Child:
    """Keeps the last video open, so that the next request for it needs no new look."""

    def __init__(self, answers: int, cell: mmap.mmap) -> None:
        self._answers = answers
        self._cell = cell
        self._source: FrameSource | None = None
        self._source_key: tuple[Any, ...] = ()
        self._last_sent_s = 0.0

    def answer(self, request: dict[str, Any], wanted: np.ndarray) -> None:
        """One request, one answer; any failure becomes a refusal."""
        self._mark(0)
        used = resource.getrusage(resource.RUSAGE_SELF)
        budget = int(used.ru_utime + used.ru_stime + request["cpu_s"] + 1)
        resource.setrlimit(resource.RLIMIT_CPU, (budget, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        try:
            result = self._probe(request) if request["do"] == "probe" else self._decode(request, wanted)
        except Refusal as refusal:
            self._forget()
            self._send_json(wire.REFUSAL, vars(refusal))
        except BrokenPipeError:
            raise
        except (MemoryError, FFmpegError, OSError, ValueError, RuntimeError, EOFError) as error:
            self._forget()
            if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:  # libav's own
                limit = f"at most {request['memory_bytes'] >> 20} MiB for decoding"
                self._refuse(
                    limit, "a video that needs more", "raise limits.memory_bytes, or shrink the video"
                )
            else:
                self._refuse(
                    "a video that libav can read", describe(error), "record or convert the file again"
                )
        else:
            self._send_json(wire.RESULT, result)

    # Requests

    def _probe(self, request: dict[str, Any]) -> dict[str, Any]:
        source = self._open(request)
        facts = read_facts(source, request["max_pixels"])
        self._send(wire.TICKS, 0, source.index.pts.astype("<i8").tobytes())
        return facts

    def _decode(self, request: dict[str, Any], wanted: np.ndarray) -> dict[str, Any]:
        source = self._open(request)
        _check_unchanged(source, request)
        maker = PictureMaker(
            request["height"],
            request["width"],
            num_channels=request["num_channels"],
            rotation=request["rotation"],
            crop=tuple(request["crop"]) if request["crop"] else None,
            num_threads=request["num_threads"],
        )
        coded_size = tuple(request["coded_size"])
        sent = np.zeros(source.index.num_packets, dtype=bool)
        corrupt: list[int] = []
        source.num_decoded = 0
        source.on_packet = self._beat
        for index, frame in source.frames(wanted, deinterlace=request["deinterlace"]):
            if (frame.width, frame.height) != coded_size:
                source.note(
                    f"frame {index} is {frame.width}x{frame.height}, not {coded_size[0]}x{coded_size[1]}"
                )
                continue
            if frame.is_corrupt:
                corrupt.append(index)
            sent[index] = True
            self._send(wire.PICTURE, index, maker.make(frame))
        missing = wanted[~sent[wanted]].tolist()
        return {
            "missing": missing,
            "corrupt": corrupt,
            "damaged": _damaged(source, missing + corrupt),
            "notes": source.notes,
        }

    def _open(self, request: dict[str, Any]) -> FrameSource:
        status = os.stat(request["path"])  # noqa: PTH116 (a plain string is all there is)
        names = ("path", "container", "max_pixels", "max_frames", "num_threads")
        key = (*(request[name] for name in names), status.st_size, status.st_mtime_ns, status.st_ino)
        if self._source is None or key != self._source_key:
            self._forget()
            self._source = FrameSource(
                request["path"],
                request["container"],
                max_pixels=request["max_pixels"],
                max_frames=request["max_frames"],
                num_threads=request["num_threads"],
                on_packet=self._beat,
            )
            self._source_key = key
        return self._source

    def _forget(self) -> None:
        if self._source is not None:
            self._source.close()
        self._source = None

    # Answers

    def say_ready(self) -> None:
        """The first sign of life, before any request."""
        self._send(wire.BEAT, 0, b"")

    def _beat(self, num_decoded: int) -> None:
        """A sign of life: always in the shared page, now and then over the pipe."""
        self._mark(num_decoded)
        if time.monotonic() - self._last_sent_s > _BEAT_S:
            self._send(wire.BEAT, num_decoded, b"")

    def _mark(self, num_decoded: int) -> None:
        wire.CELL.pack_into(self._cell, 0, num_decoded)

    def _refuse(self, expected: str, found: str, next_step: str) -> None:
        self._send_json(wire.REFUSAL, {"expected": expected, "found": found, "next_step": next_step})

    def _send_json(self, kind: bytes, value: dict[str, Any]) -> None:
        self._send(kind, 0, json.dumps(value).encode())

    def _send(self, kind: bytes, index: int, payload: bytes | np.ndarray) -> None:
        view = payload.data.cast("B") if isinstance(payload, np.ndarray) else memoryview(payload)
        parts = [memoryview(wire.MESSAGE.pack(kind, index, len(view))), view]
        while parts:
            num_written = os.writev(self._answers, parts)
            while parts and num_written >= len(parts[0]):
                num_written -= len(parts.pop(0))
            if parts:
                parts[0] = parts[0][num_written:]
        self._last_sent_s = time.monotonic()


def _check_unchanged(source: FrameSource, request: dict[str, Any]) -> None:
    pts = source.index.pts
    if [pts.size, int(pts[0]), int(pts[-1])] != request["fingerprint"]:
        raise Refusal("the file that was probed", "another one under its name", "start again")


def _damaged(source: FrameSource, spoiled: list[int]) -> list[tuple[int, int]]:
    """The stretches that spoiled frames and a missing first key frame spoil, joined where they touch."""
    found = [source.spoiled_by(index) for index in spoiled]
    if source.num_before_key:
        found.append((0, source.num_before_key - 1))
    stretches: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if stretches and first <= stretches[-1][1] + 1:
            stretches[-1] = (stretches[-1][0], max(last, stretches[-1][1]))
        else:
            stretches.append((first, last))
    return stretches


if __name__ == "__main__":
    main()
