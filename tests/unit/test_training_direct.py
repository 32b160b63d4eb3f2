"""The whole training of the direct model on a tiny scrolling world."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from storage.clips import ClipReader
from tests.direct_data import HEIGHT, WIDTH, make_dataset, tiny_settings
from worldgen_core.device import choose_device
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.games.base import EventWindow
from worldgen_core.models.load import load_world_model
from worldgen_core.models.reward_head import REWARD_WEIGHTS_FILE
from worldgen_core.names import DeviceName
from worldgen_core.outcome import Outcome
from worldgen_core.progress import EventList, ProgressEvent, silent
from worldgen_core.training import direct_settings
from worldgen_core.training.clip_batches import ClipSampler, Prefetcher
from worldgen_core.training.direct import train_direct
from worldgen_core.training.picture_statistics import median_background, sample_pairs, usual_scroll

FILES = ("model.json", "model.safetensors", REWARD_WEIGHTS_FILE, "metrics.jsonl", "curves.png")


class _Interrupted(Exception):
    pass


def _train(dataset: Path, folder: Path, *, start: Path | None = None, stop_after: int = 0) -> Outcome:
    def progress(event: ProgressEvent) -> None:
        if event.done == stop_after:
            raise _Interrupted

    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    return train_direct(tiny_settings(), dataset, start, out=out, resume=folder / "resume", progress=progress)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def test_two_interruptions_leave_the_same_bytes_as_none(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data")
    outcome = _train(dataset, tmp_path / "whole")
    for stop in (9, 25, 32):  # after the third and fifth step, and while the prior is fitted (4 x 8 examples)
        with pytest.raises(_Interrupted):
            _train(dataset, tmp_path / "parts", stop_after=stop)
    _train(dataset, tmp_path / "parts")
    whole = _bytes(tmp_path / "whole")
    assert sorted(whole) == sorted(FILES)
    assert whole == _bytes(tmp_path / "parts")
    assert outcome.figures == ("curves.png",)
    assert outcome.metrics["num_parameters"] == json.loads(whole["model.json"])["num_parameters"]["total"]
    rows = [json.loads(line) for line in whole["metrics.jsonl"].splitlines()]
    assert [row["train_step"] for row in rows] == [3, 6]


def test_the_folder_dreams_and_trains_on(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data")
    _train(dataset, tmp_path / "first")
    _train(dataset, tmp_path / "second", start=tmp_path / "first" / "out")
    card = json.loads(_bytes(tmp_path / "second")["model.json"])
    assert card["training"]["num_steps"] == 3  # only the phase with long dreams
    model = load_world_model(tmp_path / "second" / "out")
    frames = torch.from_numpy(ClipReader(dataset).read("e0", 0, 4).frames)[None]
    model.reset(frames, torch.zeros(1, 3, dtype=torch.int64), seed=0)
    assert model.step(torch.tensor([1])).frame.shape == (1, HEIGHT, WIDTH, 3)


def test_a_start_of_another_kind_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data")
    _train(dataset, tmp_path / "first")
    card = tmp_path / "first" / "out" / "model.json"
    card.write_text(card.read_text().replace('"model": "direct"', '"model": "diamond-vae"'))
    with pytest.raises(ConfigError, match="diamond-vae"):
        _train(dataset, tmp_path / "second", start=tmp_path / "first" / "out")


def test_a_size_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data")
    settings = tiny_settings()
    settings = settings.model_copy(
        update={"architecture": settings.architecture.model_copy(update={"block": 5})}
    )
    with pytest.raises(ConfigError, match="multiples of 10"):
        train_direct(settings, dataset, None, out=tmp_path, resume=tmp_path / "resume", progress=silent)


def test_background_and_scroll_are_measured(tmp_path: Path) -> None:
    pairs = sample_pairs(ClipReader(make_dataset(tmp_path / "data")), seed=0)
    background = median_background(pairs)
    assert background[-1, -1].tolist() == [80, 180, 220]
    assert usual_scroll(pairs, background) == (0, -1)
    still = np.repeat(pairs[:, :1], 2, axis=1)
    assert usual_scroll(still, None) == (0, 0)


def test_windows_are_pure_in_the_step_and_show_rare_events_as_often_as_asked(tmp_path: Path) -> None:
    reader = ClipReader(make_dataset(tmp_path / "data"))
    often = EventWindow("terminated", share=0.5)

    def sampler(*events: EventWindow) -> ClipSampler:
        return ClipSampler(reader, num_context=4, oversample=events, seed=1)

    first, again = sampler(often).batch(3, unroll=1, batch_size=64), sampler(often)
    again.batch(2, unroll=1, batch_size=8)
    same = again.batch(3, unroll=1, batch_size=64)
    assert torch.equal(first.obs, same.obs)
    assert torch.equal(first.act, same.act)
    assert not first.end[:, :4].any()
    assert first.mask.all()
    assert 0.35 < first.end[:, 4].float().mean() < 0.75
    assert sampler().batch(3, unroll=1, batch_size=64).end.float().mean() < 0.05
    never = EventWindow("reward_at_least", share=0.5, value=9.0)
    assert sampler(never).batch(0, unroll=2, batch_size=4).obs.shape == (4, 6, HEIGHT, WIDTH, 3)
    with pytest.raises(ConfigError, match="at least 104 frames"):
        sampler().batch(0, unroll=100, batch_size=1)


def test_beyond_ends_deaths_come_anywhere_and_hide_what_follows(tmp_path: Path) -> None:
    reader = ClipReader(make_dataset(tmp_path / "data"))
    death = EventWindow("terminated", share=1.0)
    sampler = ClipSampler(reader, num_context=4, oversample=(death,), seed=1, beyond_ends=True)
    batch = sampler.batch(0, unroll=4, batch_size=64)
    place = batch.end.int().argmax(1)
    assert set(place.tolist()) == {4, 5, 6, 7}
    assert batch.mask.sum(1).tolist() == (place + 1).tolist()


def test_prefetching_changes_nothing_but_the_time() -> None:
    asked: list[int] = []

    def produce(step: int) -> int:
        asked.append(step)
        return step * step

    fetch = Prefetcher(produce, 5)
    assert [fetch(step) for step in (0, 1, 2, 4, 3)] == [0, 1, 4, 16, 9]
    fetch.close()
    assert sorted(set(asked)) == [0, 1, 2, 3, 4]


def test_profiles_grow() -> None:
    smoke, laptop, paper = direct_settings.smoke(), direct_settings.laptop(), direct_settings.paper()
    assert smoke.num_steps < laptop.num_steps < paper.num_steps
    assert (smoke.loop.precision, laptop.loop.precision) == ("float32", "auto")


def test_devices_are_chosen_by_name_and_never_silently() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}
    missing: DeviceName = "mps" if choose_device("auto").type != "mps" else "cuda"
    with pytest.raises(ConfigError, match=missing):
        choose_device(missing)


def test_an_old_card_is_one_clear_error(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data")
    _train(dataset, tmp_path / "first")
    card = tmp_path / "first" / "out" / "model.json"
    card.write_text(card.read_text().replace('"chance_map"', '"chance_image"'))
    with pytest.raises(CheckpointError, match="expected those of a direct model"):
        load_world_model(tmp_path / "first" / "out")


def test_progress_counts_frames_since_long_dreams_take_longer(tmp_path: Path) -> None:
    events = EventList()
    dataset = make_dataset(tmp_path / "data")
    out = tmp_path / "out"
    out.mkdir()
    train_direct(tiny_settings(), dataset, None, out=out, resume=tmp_path / "resume", progress=events)
    network, prior, reward = events.events[:6], events.events[6:10], events.events[10:]
    assert [event.done for event in network] == [3, 6, 9, 17, 25, 33]
    assert {(event.label, event.total) for event in network} == {("frames", 33)}
    assert [event.done for event in prior] == [8, 16, 24, 32]
    assert {(event.label, event.total) for event in prior} == {("examples of chance", 32)}
    assert [(event.label, event.done) for event in reward] == [
        ("frames with rewards", 8 * i) for i in (1, 2, 3)
    ]
