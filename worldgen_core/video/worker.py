"""Starts the decoding process, asks it, and outlives it whatever happens to it.

The process that asks never waits without a limit: it reads and writes without blocking and gives up when the
other side has shown no sign of life for long enough. A process that crashed, hung or was killed becomes one
VideoError; the next request starts another.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any

import numpy as np

from worldgen_core.errors import VideoError
from worldgen_core.video import decode_child, wire
from worldgen_core.video.limit_settings import DecodeLimits

_PIPE_BYTES = 1 << 20
_GRACE_S = 5.0
_START_S = 120.0
"""Python and its libraries may take long to start on a busy machine; this is not the video's fault."""

Message = tuple[bytes, int, np.ndarray]


class DecodeWorker:
    """One decoding process, started when it is first needed and again after it has died.

    Use it as a context manager, or call `close`. Not to be shared between threads.
    """

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        self.limits = limits or DecodeLimits()
        self._process: _Process | None = None

    def __enter__(self) -> DecodeWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; the worker can be used again."""
        if self._process is not None:
            self._process.end()
        self._process = None

    @property
    def process_id(self) -> int | None:
        """Id of the running decoding process, for measuring it."""
        return self._process.popen.pid if self._process else None

    def ask(
        self, name: str, request: dict[str, Any], wanted: np.ndarray, num_bytes: int
    ) -> Generator[Message, None, dict[str, Any]]:
        """Messages of the answer but its end; `num_bytes` is what a picture must have.

        The generator returns the result. If it is left early the process is ended.
        Raises: VideoError about the file `name` for a refusal, a crash or a time-out.
        """
        full = request | self.limits.model_dump(exclude={"stall_s", "wall_s", "max_fps", "max_duration_s"})
        if self._process is None:
            self._process = _Process(self.limits)
        exchange = _Exchange(self._process, self.limits)
        try:
            exchange.send(full, wanted)
            result = yield from exchange.messages(num_bytes)
        except _Gone as gone:
            raise self._explain(name, gone) from None
        except BaseException:
            self.close()
            raise
        if "expected" in result:
            raise VideoError(
                name, expected=result["expected"], found=result["found"], next_step=result["next_step"]
            )
        return result

    def _explain(self, name: str, gone: _Gone) -> VideoError:
        process = self._process
        assert process is not None
        frame = process.num_decoded()
        reason = gone.reason or process.cause_of_death()
        self.close()
        return VideoError(
            name,
            expected="a video that can be decoded within the limits",
            found=f"{reason} after {frame} decoded frames",
            next_step="convert the file with ffmpeg or remove it; longer time and more memory are limits.*",
        )


class _Gone(Exception):
    """The process is of no use any more; no reason means that it died by itself."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)


class _Process:
    """The running process with its pipes, its page of progress and what it complained about."""

    def __init__(self, limits: DecodeLimits) -> None:
        with tempfile.TemporaryFile() as page:
            page.truncate(mmap.PAGESIZE)
            self._cell = mmap.mmap(page.fileno(), mmap.PAGESIZE)
            self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)
            self.popen = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    decode_child.__name__,
                    str(page.fileno()),
                    str(limits.memory_bytes),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                bufsize=0,
                pass_fds=[page.fileno()],
                env=_environment(),
                start_new_session=True,
            )
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.requests, self.answers = self.popen.stdin.fileno(), self.popen.stdout.fileno()
        for descriptor in (self.requests, self.answers):
            os.set_blocking(descriptor, False)
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.is_ready = False
        """Whether it has given its first sign of life."""
        self._finalizer = weakref.finalize(self, _end, self.popen, self._complaints)

    def end(self) -> None:
        """Kill, wait, close."""
        self._finalizer()

    def num_decoded(self) -> int:
        """Frames decoded for the present request."""
        return wire.CELL.unpack_from(self._cell, 0)[0]

    def cause_of_death(self) -> str:
        """How the process ended, in words."""
        try:
            code = self.popen.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return "the decoding process closed its pipe and hung"
        if code < 0:
            number = signal.Signals(-code)
            hint = {
                signal.SIGXCPU: " (processor time used up)",
                signal.SIGKILL: " (killed, perhaps for want of memory)",
            }
            return f"the decoding process died of {number.name}{hint.get(number, '')}"
        self._complaints.seek(0)
        lines = self._complaints.read(1 << 20).decode(errors="replace").strip().splitlines()
        return f"the decoding process ended with status {code} ({lines[-1] if lines else 'no message'})"


class _Exchange:
    """One request and its answer."""

    def __init__(self, process: _Process, limits: DecodeLimits) -> None:
        self._process = process
        self._limits = limits
        self._waited_s = 0.0
        self._poll = select.poll()
        self._poll.register(process.answers, select.POLLIN)

    def send(self, request: dict[str, Any], wanted: np.ndarray) -> None:
        """Write the request."""
        text = json.dumps(request).encode()
        head = wire.REQUEST.pack(len(text), wanted.size)
        rest = memoryview(head + text + wanted.astype("<i8").tobytes())
        writable = select.poll()
        writable.register(self._process.requests, select.POLLOUT)
        while rest:
            try:
                rest = rest[os.write(self._process.requests, rest) :]
            except BlockingIOError:
                self._wait(writable)
            except BrokenPipeError:
                raise _Gone from None

    def messages(self, num_bytes: int) -> Generator[Message, None, dict[str, Any]]:
        """Messages until the result, which is returned."""
        head = np.empty(wire.MESSAGE.size, np.uint8)
        while True:
            self._read(head)
            kind, index, size = wire.MESSAGE.unpack(head.data)
            limit = num_bytes if kind == wire.PICTURE else wire.MAX_JSON_BYTES
            if size > limit:
                raise _Gone("the decoding process answered nonsense")
            payload = np.empty(size, np.uint8)
            self._read(payload)
            if not self._process.is_ready:
                self._process.is_ready = True
                self._waited_s = 0.0
            if kind in (wire.RESULT, wire.REFUSAL):
                return json.loads(payload.tobytes())
            if kind != wire.BEAT:
                yield kind, index, payload

    def _read(self, target: np.ndarray) -> None:
        rest = target.data
        while rest:
            try:
                num_read = os.readv(self._process.answers, [rest])
            except BlockingIOError:
                self._wait(self._poll)
                continue
            if num_read == 0:
                raise _Gone
            rest = rest[num_read:]

    def _wait(self, poll: Any) -> None:
        # `select.poll` is a function, so no type to be checked.
        started_s = time.monotonic()
        limit_s = self._limits.stall_s if self._process.is_ready else max(self._limits.stall_s, _START_S)
        is_there = poll.poll(limit_s * 1000)
        self._waited_s += time.monotonic() - started_s
        if not is_there:
            raise _Gone(f"no sign of life for {limit_s:g} s")
        if self._process.is_ready and self._waited_s > self._limits.wall_s:
            raise _Gone(f"no end within {self._limits.wall_s:g} s")


def _environment() -> dict[str, str]:
    """The parent's, with its import path; the libraries of the child need no threads of their own."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join([root, *(path for path in sys.path if path)])
    return os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _end(popen: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
    popen.kill()
    popen.wait()
    for stream in (popen.stdin, popen.stdout, complaints):
        if stream is not None:
            stream.close()
