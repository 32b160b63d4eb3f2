"""Runs the rollouts of an evaluation side by side, one thread and one model each.

Every job computes with one torch thread, so its bits do not depend on how many jobs run at once; torch and
NumPy let go of the interpreter while they compute, so two jobs fill two cores.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

from worldgen_core.models.interface import WorldModel
from worldgen_core.progress import Progress, ProgressEvent
from worldgen_core.threads import cpu_threads

T = TypeVar("T")


class StoppedError(Exception):
    """The evaluation was stopped from outside; ends the jobs that still run."""


class Meter:
    """Counts frames over all jobs and reports them as progress."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = total
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()
        self._started_s = time.perf_counter()
        self._is_stopped = False

    def __call__(self, num_frames: int) -> None:
        """Add frames; raises StoppedError once the evaluation was stopped."""
        if self._is_stopped:
            raise StoppedError
        with self._lock:
            self._done = min(self._done + num_frames, self._total)
            rate = self._done / max(time.perf_counter() - self._started_s, 1e-6)
            self._progress(ProgressEvent("frames", self._done, self._total, rate))

    def stop(self) -> None:
        """Let every job end at its next frame."""
        self._is_stopped = True


class JobPool:
    """Lends a model of its own to each of a few threads; jobs are submitted inside `working`."""

    def __init__(self, make_model: Callable[[], WorldModel], num_workers: int) -> None:
        models = [make_model() for _ in range(num_workers)]
        self.num_context_frames = models[0].num_context_frames
        self._models: SimpleQueue[WorldModel] = SimpleQueue()
        for model in models:
            self._models.put(model)
        self._threads = ThreadPoolExecutor(num_workers)
        self._error: Exception | None = None

    def submit(self, job: Callable[[WorldModel], T]) -> Future[T]:
        """Run a job with a model that no other job uses meanwhile."""
        return self._threads.submit(self._run, job)

    @contextmanager
    def working(self, meter: Meter) -> Iterator[None]:
        """Wait for all jobs at the end; Ctrl-C, or an error in any job, stops all at their next frame."""
        self._stop = meter.stop
        with cpu_threads(1):
            try:
                yield
            except BaseException as error:
                meter.stop()
                if isinstance(error, StoppedError | CancelledError) and self._error is not None:
                    raise self._error from None
                raise
            finally:
                self._threads.shutdown(cancel_futures=True)

    def _run(self, job: Callable[[WorldModel], T]) -> T:
        model = self._models.get()
        try:
            return job(model)
        except StoppedError:
            raise
        except Exception as error:
            self._error = self._error or error
            self._stop()
            raise
        finally:
            self._models.put(model)
