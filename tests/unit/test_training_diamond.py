"""The path of `diamond` on a tiny scrolling world: upsampler, denoiser, dream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from storage.clips import ClipReader
from storage.records import DatasetInfo
from storage.shards import write_dataset
from tests.diamond_data import diamond_settings, make_diamond, make_upsampler
from tests.direct_data import HEIGHT, WIDTH, make_dataset, make_episode
from worldgen_core.errors import CheckpointError, ConfigError, ContextLengthError
from worldgen_core.models.card import read_card
from worldgen_core.models.diamond import DiamondWorldModel
from worldgen_core.models.load import load_world_model
from worldgen_core.models.upsampler import UPSAMPLER_WEIGHTS_FILE, enlarged, load_upsampler, low_size, shrunk
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent, silent


class _Interrupted(Exception):
    pass


def stop_at(num_frames: int) -> Progress:
    def progress(event: ProgressEvent) -> None:
        if event.done == num_frames:
            raise _Interrupted

    return progress


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def upsampler(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upsampler") / "out"
    make_upsampler(dataset, folder)
    return folder


@pytest.fixture(scope="module")
def trained(dataset: Path, upsampler: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("diamond") / "out"
    return folder, make_diamond(dataset, upsampler, folder)


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


def assert_same_after_two_interruptions(
    train: Callable[..., Outcome], whole: Path, folder: Path, stops: tuple[int, int]
) -> None:
    for stop in stops:
        with pytest.raises(_Interrupted):
            train(folder, progress=stop_at(stop))
    train(folder, progress=silent)
    assert weights(folder) == weights(whole)
    assert (folder / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_upsampler_ends_with_the_same_bytes_after_two_interruptions(
    dataset: Path, upsampler: Path, tmp_path: Path
) -> None:
    assert_same_after_two_interruptions(
        partial(make_upsampler, dataset), upsampler, tmp_path / "out", (9, 15)
    )


def test_denoiser_ends_with_the_same_bytes_after_two_interruptions(
    dataset: Path, upsampler: Path, trained: tuple[Path, Outcome], tmp_path: Path
) -> None:
    train = partial(make_diamond, dataset, upsampler)
    assert_same_after_two_interruptions(train, trained[0], tmp_path / "out", (9, 25))


def test_card_counts_both_stages(trained: tuple[Path, Outcome]) -> None:
    folder, outcome = trained
    counts = read_card(folder).num_parameters
    assert set(counts) == {"unet", "end_head", "chance", "upsampler", "reward_head", "total"}
    assert counts["total"] == sum(count for name, count in counts.items() if name != "total")
    assert outcome.metrics["num_parameters"] == counts["total"]
    assert set(read_card(folder).weights_sha256) == set(weights(folder))


def dream(model: DiamondWorldModel, dataset: Path, *, rows: int, seed: int = 0) -> torch.Tensor:
    clip = torch.from_numpy(ClipReader(dataset).read("e0", 0, 3).frames)
    model.reset(clip[None].expand(rows, -1, -1, -1, -1), torch.zeros(rows, 2, dtype=torch.int64), seed=seed)
    steps = [model.step(torch.full((rows,), t % 2, dtype=torch.int64)) for t in range(3)]
    ends = [step.terminated for step in steps]
    assert all(end is not None and end.shape == (rows,) and ((end >= 0) & (end <= 1)).all() for end in ends)
    return torch.stack([step.frame for step in steps], dim=1)


def test_the_folder_dreams(trained: tuple[Path, Outcome], dataset: Path) -> None:
    model = load_world_model(trained[0])
    assert isinstance(model, DiamondWorldModel)
    assert (model.num_context_frames, model.num_actions, model.frame_shape) == (3, 2, (HEIGHT, WIDTH))
    assert model.takes_chance_from_truth
    frames = dream(model, dataset, rows=2)
    assert frames.shape == (2, 3, HEIGHT, WIDTH, 3)
    assert torch.equal(frames, dream(model, dataset, rows=2))
    assert not torch.equal(frames[0], frames[1]), "each row has its own noise"
    assert not torch.equal(frames, dream(model, dataset, rows=2, seed=1))
    alone = dream(model, dataset, rows=1)[0].int()
    assert (alone - frames[0].int()).abs().max() <= 1, "a row does not depend on the others"
    with pytest.raises(ContextLengthError, match="3 context frames"):
        model.reset(torch.zeros(1, 2, HEIGHT, WIDTH, 3, dtype=torch.uint8), torch.zeros(1, 1).long(), seed=0)


def test_other_steps_are_a_twins_own(trained: tuple[Path, Outcome], dataset: Path) -> None:
    model = load_world_model(trained[0])
    assert isinstance(model, DiamondWorldModel)
    own, frames = model.num_steps, dream(model, dataset, rows=1)
    finer = model.with_steps({"denoiser": own["denoiser"] + 3})
    assert finer.num_steps == {**own, "denoiser": own["denoiser"] + 3}
    assert not torch.equal(dream(finer, dataset, rows=1), frames)
    larger = model.with_steps({"upsampler": own["upsampler"] + 3})
    assert not torch.equal(dream(larger, dataset, rows=1), frames)
    assert model.num_steps == own
    assert torch.equal(dream(model, dataset, rows=1), frames)


def test_restarted_rows_start_anew_and_leave_the_others(trained: tuple[Path, Outcome], dataset: Path) -> None:
    model = load_world_model(trained[0])
    assert isinstance(model, DiamondWorldModel)
    dream(model, dataset, rows=2)
    undisturbed = model.step(torch.zeros(2, dtype=torch.int64)).frame[0]
    dream(model, dataset, rows=2)
    clip = torch.from_numpy(ClipReader(dataset).read("e0", 0, 3).frames)[None]
    model.restart(torch.tensor([1]), clip, torch.zeros(1, 2, dtype=torch.int64), seed=0)
    after = model.step(torch.zeros(2, dtype=torch.int64)).frame
    assert (after[0].int() - undisturbed.int()).abs().max() <= 1
    first = dream(model, dataset, rows=1)[0, 0]
    assert (after[1].int() - first.int()).abs().max() <= 1


def test_training_goes_on_from_a_model_whose_folder_is_its_upsampler(
    trained: tuple[Path, Outcome], dataset: Path, tmp_path: Path
) -> None:
    folder = trained[0]
    make_diamond(dataset, folder, tmp_path / "out", start=folder)
    assert read_card(tmp_path / "out").training["num_steps"] == 3
    before, after = weights(folder), weights(tmp_path / "out")
    assert before[UPSAMPLER_WEIGHTS_FILE] == after[UPSAMPLER_WEIGHTS_FILE]


def test_a_start_of_another_kind_is_refused(
    trained: tuple[Path, Outcome], dataset: Path, tmp_path: Path
) -> None:
    small = diamond_settings().model_copy(update={"model": "diamond-small"})
    with pytest.raises(ConfigError, match="expected a diamond-small model; found diamond"):
        make_diamond(dataset, trained[0], tmp_path / "out", start=trained[0], settings=small)


def test_an_upsampler_of_another_frame_size_is_refused(upsampler: Path, tmp_path: Path) -> None:
    episode = make_episode(1)
    smaller = DatasetInfo("flappy", "smaller", HEIGHT, WIDTH // 2, 30.0, ("idle", "flap"))
    cut = np.ascontiguousarray(episode.frames[:, :, : WIDTH // 2])
    write_dataset(tmp_path / "data", smaller, [replace(episode, frames=cut)])
    with pytest.raises(ConfigError, match="32 x 12, as in the dataset; found 32 x 24"):
        make_diamond(tmp_path / "data", upsampler, tmp_path / "out")


def test_damaged_and_foreign_folders_are_named(
    trained: tuple[Path, Outcome], upsampler: Path, tmp_path: Path
) -> None:
    for name in (UPSAMPLER_WEIGHTS_FILE, "model.json"):
        (tmp_path / name).write_bytes((upsampler / name).read_bytes())
    with pytest.raises(ConfigError, match="found 'upsampler'"):
        load_world_model(tmp_path)
    assert load_upsampler(tmp_path).low_size == (11, 8)
    path = tmp_path / UPSAMPLER_WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match=UPSAMPLER_WEIGHTS_FILE):
        load_upsampler(tmp_path)


def test_low_resolution_is_the_mean_of_pixels_and_comes_back_at_full_size() -> None:
    assert low_size(150, 280, 5) == (30, 56)
    assert low_size(128, 72, 5) == (26, 14)
    obs = torch.tensor([[0.0, 1.0, 0.5, 0.5], [1.0, 0.0, -0.5, 0.5]]).expand(1, 3, 2, 4)
    torch.testing.assert_close(shrunk(obs, (1, 2))[0, 0], torch.tensor([[0.5, 0.25]]))
    flat = torch.full((1, 3, 2, 3), 0.25)
    torch.testing.assert_close(enlarged(flat, (7, 8)), torch.full((1, 3, 7, 8), 0.25))
