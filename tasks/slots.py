"""The slot that work on a GPU holds: two trainings at once would not fit into its memory.

The limit is set by `worldgen up` from prefect.yaml; a server without it gives every task a slot. Work on the
CPU takes none, and neither does a stage that turns out to be cached.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

from prefect.concurrency.sync import concurrency
from pydantic import BaseModel

GPU_SLOT = "gpu"
LEASE_S = 60.0
"""A killed process gives its slot back after so many seconds."""


@contextmanager
def device_slot(settings: BaseModel) -> Generator[None]:
    """Hold the GPU's slot while the body runs, if the settings name a GPU; waits until there is one."""
    if not {"cuda", "mps"} & set(_devices(settings)):
        yield
        return
    with concurrency(GPU_SLOT, occupy=1, lease_duration=LEASE_S):
        yield


def _devices(settings: BaseModel) -> Iterator[str]:
    for name, value in settings:
        if isinstance(value, BaseModel):
            yield from _devices(value)
        elif name == "device":
            yield str(value)
