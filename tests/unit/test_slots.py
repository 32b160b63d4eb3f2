"""Who holds the GPU's slot, and who does not."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest
from pydantic import BaseModel

from tasks import slots
from tasks.slots import device_slot


class Loop(BaseModel):
    device: str


class Settings(BaseModel):
    loop: Loop
    device: str = "cpu"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    @contextmanager
    def fake(name: str, *, occupy: int, lease_duration: float) -> Generator[None]:
        assert occupy == 1
        assert lease_duration >= 60  # the server refuses shorter ones
        names.append(name)
        yield
        names.append(f"{name} given back")

    monkeypatch.setattr(slots, "concurrency", fake)
    return names


@pytest.mark.parametrize(
    "settings",
    [Settings(loop=Loop(device="cuda")), Settings(loop=Loop(device="cpu"), device="mps")],
)
def test_work_on_a_gpu_holds_the_slot_and_gives_it_back(held: list[str], settings: Settings) -> None:
    with device_slot(settings):
        assert held == ["gpu"]
    assert held == ["gpu", "gpu given back"]


def test_work_on_the_cpu_holds_none(held: list[str]) -> None:
    with device_slot(Settings(loop=Loop(device="cpu"))):
        assert held == []
