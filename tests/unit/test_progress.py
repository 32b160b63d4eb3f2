"""Adapters of the progress protocol: rates, text, fan-out, and a server that does not answer."""

import io
import logging
from contextvars import ContextVar
from threading import Thread

import httpx
import pytest

from tasks import progress
from tasks.progress import ArtifactProgress, FanOut, LineProgress, console_progress, describe, stage_progress
from worldgen_core.progress import EventList, ProgressEvent


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeArtifact:
    def __init__(self) -> None:
        self.updates: list[tuple[float, str]] = []
        self.is_closed = False
        self.error: Exception | None = None

    def update(self, percent: float, description: str) -> None:
        if self.error is not None:
            raise self.error
        self.updates.append((percent, description))

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def artifact(monkeypatch: pytest.MonkeyPatch) -> FakeArtifact:
    made = FakeArtifact()
    monkeypatch.setattr(progress, "open_progress", lambda _name, _text: made)
    return made


def event(done: int, total: int = 100, label: str = "training") -> ProgressEvent:
    return ProgressEvent(label, done, total, rate_per_s=2.0, metrics={"loss": 0.0123456})


def test_an_event_reads_as_one_line() -> None:
    assert describe(event(20)) == "training 20/100, 2/s, 40 s left, loss 0.01235"
    assert describe(ProgressEvent("games", 3, 3)) == "games 3/3"


def test_lines_come_at_most_every_ten_seconds_and_the_last_always() -> None:
    stream, clock = io.StringIO(), FakeClock()
    show = LineProgress("train_model", stream, clock=clock)
    for done in range(100):
        show(event(done))
        clock.now += 0.3
    show(event(100))
    show(event(100))
    shown = [line.split(",")[0] for line in stream.getvalue().splitlines()]
    assert shown == [f"train_model: training {done}/100" for done in (0, 34, 68, 100)]


def test_a_new_label_is_shown_at_once() -> None:
    stream, clock = io.StringIO(), FakeClock()
    show = LineProgress("agent", stream, clock=clock)
    show(event(0))
    show(event(0, label="evaluating"))
    assert len(stream.getvalue().splitlines()) == 2


def test_bar_on_a_terminal_shows_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    stream = io.StringIO()
    with console_progress("train_model", stream=stream) as show:
        show(event(20))
        show(event(30))
    assert "35 s left" in stream.getvalue()


def test_artifact_is_updated_at_most_every_two_seconds(artifact: FakeArtifact) -> None:
    clock = FakeClock()
    show = ArtifactProgress("train_model", clock=clock)
    for done in range(10):
        show(event(done, total=10))
        clock.now += 0.5
    show(event(10, total=10))
    show.close()
    assert [round(percent) for percent, _ in artifact.updates] == [0, 40, 80, 100]
    assert artifact.updates[0][1].startswith("train_model: training 0/10")
    assert artifact.is_closed


def test_server_that_does_not_answer_pauses_the_artifact_not_the_training(
    artifact: FakeArtifact, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    show = ArtifactProgress("train_model", clock=clock)
    artifact.error = httpx.ConnectError("refused")
    with caplog.at_level(logging.WARNING):
        for done in range(10):
            show(event(done))
            clock.now += 3.0
    assert len(caplog.records) == 1
    artifact.error = None
    clock.now += 60.0
    show(event(50))
    assert [percent for percent, _ in artifact.updates] == [50.0]


def test_an_event_from_a_thread_finds_the_run(
    artifact: FakeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: ContextVar[str] = ContextVar("run", default="no run")
    runs: list[str] = []

    def fake_open(_name: str, _text: str) -> FakeArtifact:
        runs.append(run.get())
        return artifact

    monkeypatch.setattr(progress, "open_progress", fake_open)
    run.set("this run")
    show = ArtifactProgress("evaluate")
    thread = Thread(target=show, args=(event(1),))
    thread.start()
    thread.join()
    assert runs == ["this run"]


def test_other_errors_are_not_swallowed(artifact: FakeArtifact) -> None:
    artifact.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        ArtifactProgress("train_model")(event(1))


def test_fan_out_reaches_everybody() -> None:
    first, second = EventList(), EventList()
    FanOut(first, second)(event(1))
    assert first.events == second.events == [event(1)]


def test_a_stage_outside_a_run_shows_lines_only() -> None:
    stream = io.StringIO()
    with stage_progress("capture", console=stream) as show:
        show(event(100, label="episodes"))
    assert stream.getvalue() == "capture: episodes 100/100, 2/s, loss 0.01235\n"
