"""The reward head: what it learns, how it is told in a dream, and that nothing else depends on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from storage.clips import ClipReader
from storage.shards import write_dataset
from tests.direct_data import HEIGHT, INFO, TINY_REWARD, WIDTH, make_dataset, make_episode, tiny_settings
from tests.play_fakes import Counter
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.models.card import read_card
from worldgen_core.models.dreams import TensorDreams
from worldgen_core.models.interface import Prediction
from worldgen_core.models.load import load_world_model, tell_rewards
from worldgen_core.models.reward_head import (
    NUM_SEEN,
    REWARD_WEIGHTS_FILE,
    RewardHead,
    last_seen,
    load_reward_head,
)
from worldgen_core.models.reward_head_settings import RewardHeadSettings
from worldgen_core.play.ensemble import Ensemble, Seat
from worldgen_core.play.environment import DreamEnv
from worldgen_core.progress import ProgressEvent, silent
from worldgen_core.training.curriculum import run_curriculum
from worldgen_core.training.direct import train_direct
from worldgen_core.training.direct_settings import DirectSettings
from worldgen_core.training.reward_batches import RewardClips, RewardSampler, reward_values, two_hot
from worldgen_core.training.reward_settings import RewardFitSettings


class Paying(Counter):
    """Pays a quarter for every frame."""

    def step(
        self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
    ) -> Prediction:
        return super().step(action, truth=truth)._replace(reward=torch.tensor([0.25]))


LEARNS = RewardFitSettings(head=RewardHeadSettings(width=12), batch_size=24, num_steps=150, rate=5e-3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"), num_episodes=12)


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tiny_settings(), dataset, tmp_path_factory.mktemp("direct"))


def train(settings: DirectSettings, dataset: Path, folder: Path) -> Path:
    out = folder / "out"
    out.mkdir()
    train_direct(settings, dataset, None, out=out, resume=folder / "resume", progress=silent)
    return out


def open_telling(folder: Path) -> TensorDreams:
    model = load_world_model(folder)
    tell_rewards(model, folder)
    assert isinstance(model, TensorDreams)
    return model


def settings_with(fit: RewardFitSettings) -> DirectSettings:
    return tiny_settings().model_copy(update={"reward": fit})


def test_a_reward_between_two_values_is_shared_out_and_kept_in_the_mean() -> None:
    values = np.array([-1.0, 0.0, 2.0], np.float32)
    reward = np.array([-1.0, 0.0, 2.0, 0.5, -0.25], np.float32)
    weights = two_hot(reward, values)
    assert weights.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0.75, 0.25], [0.25, 0.75, 0]]
    assert (weights @ values).tolist() == reward.tolist()
    one = np.array([7.0], np.float32)
    assert two_hot(one, one).tolist() == [[1.0]]


def test_few_rewards_are_values_themselves_and_many_are_spaced_evenly() -> None:
    paid = np.array([0.1, 1.0, 0.1, -1.0], np.float32)
    assert reward_values(paid, 32).tolist() == pytest.approx([-1.0, 0.1, 1.0])
    assert reward_values(np.linspace(-2, 2, 100, dtype=np.float32), 5).tolist() == [-2, -1, 0, 1, 2]


def test_clips_end_with_the_frame_that_pays(dataset: Path) -> None:
    clips = RewardClips(ClipReader(dataset), "train")
    pays = np.flatnonzero(clips.reward == 1.0)
    assert len(pays) >= 8
    batch = clips.read(pays, np.array([0.1, 1.0], np.float32))
    assert batch.obs.shape == (len(pays), NUM_SEEN, HEIGHT, WIDTH, 3)
    assert batch.target[:, 1].eq(1.0).all()
    bar = (batch.obs[:, -1, 0] == torch.tensor([90, 200, 60])).all(dim=2)
    assert (bar.int().argmax(dim=1) == WIDTH // 2).all(), "a bar is where it pays in the last frame"


@pytest.mark.parametrize("values", [[0.1, 1.0], [0.0, 0.25, 0.5, 0.75, 1.0]])
def test_what_is_drawn_too_often_is_corrected(dataset: Path, values: list[float]) -> None:
    clips, values_ = RewardClips(ClipReader(dataset), "train"), np.array(values, np.float32)
    sampler = RewardSampler(clips, values_, seed=0)
    target = torch.cat([sampler.batch(step, batch_size=64).target for step in range(60)])
    drawn, true = target.mean(dim=0).numpy(), two_hot(clips.reward, values_).mean(axis=0)
    corrected = drawn * np.exp(sampler.correction)
    assert drawn[-1] > 2 * true[-1], "rare rewards come often"
    assert corrected / corrected.sum() == pytest.approx(true, abs=0.02)


def test_a_head_learns_when_a_bar_pays(dataset: Path, tmp_path: Path) -> None:
    folder = train(settings_with(LEARNS), dataset, tmp_path)
    card = read_card(folder)
    assert card.training["reward_explained"] > 0.8
    head = load_reward_head(folder, card)
    assert head is not None
    clips = RewardClips(ClipReader(dataset), "validation")
    batch = clips.read(np.arange(len(clips.reward)), head.values.numpy())
    predicted = head.reward(last_seen(batch.obs), batch.act)
    assert predicted[batch.target[:, 1] == 1.0].mean() > 0.7
    # Rewards that were drawn more often than they come are not expected more often.
    assert predicted.mean().item() == pytest.approx(clips.reward.mean(), rel=0.2)


def test_a_single_reward_is_told_without_training(dataset: Path, tmp_path: Path) -> None:
    same = (replace(make_episode(seed), reward=np.full(60, 0.5, np.float32)) for seed in range(6))
    write_dataset(tmp_path / "dataset", INFO, same)
    folder = train(tiny_settings(), tmp_path / "dataset", tmp_path)
    card = read_card(folder)
    assert "reward_explained" not in card.training
    head = load_reward_head(folder, card)
    assert head is not None
    assert head.reward(torch.zeros(2, NUM_SEEN, 3, HEIGHT, WIDTH), torch.tensor([0, 1])).tolist() == [
        0.5,
        0.5,
    ]


def test_an_interrupted_head_ends_with_the_same_bytes(dataset: Path, trained: Path, tmp_path: Path) -> None:
    def stop(event: ProgressEvent) -> None:
        if (event.label, event.done) == ("frames with rewards", 16):
            raise KeyboardInterrupt

    out, resume = tmp_path / "out", tmp_path / "resume"
    out.mkdir()
    with pytest.raises(KeyboardInterrupt):
        train_direct(tiny_settings(), dataset, None, out=out, resume=resume, progress=stop)
    train_direct(tiny_settings(), dataset, None, out=out, resume=resume, progress=silent)
    for path in trained.iterdir():
        assert path.read_bytes() == (out / path.name).read_bytes()


def test_more_processes_than_rows_are_refused_before_anything_is_trained(
    dataset: Path, tmp_path: Path
) -> None:
    settings = tiny_settings()
    fit = TINY_REWARD.model_copy(update={"batch_size": 1})
    loop = settings.loop.model_copy(update={"num_processes": 2})
    with pytest.raises(ConfigError, match="at most 1, the rows of the smallest batch"):
        run_curriculum(
            settings.model_copy(update={"reward": fit, "loop": loop}),
            lambda _: None,
            lambda _: pytest.fail("trains"),
            resume=tmp_path,
            progress=silent,
        )


def test_only_the_card_and_the_heads_file_tell_a_model_with_a_head(
    dataset: Path, trained: Path, tmp_path: Path
) -> None:
    without = train(settings_with(TINY_REWARD.model_copy(update={"num_steps": 0})), dataset, tmp_path)
    same = {path.name for path in without.iterdir()} - {"model.json"}
    assert {path.name for path in trained.iterdir()} == same | {"model.json", REWARD_WEIGHTS_FILE}
    weights = "model.safetensors"
    assert (trained / weights).read_bytes() == (without / weights).read_bytes()
    card, bare = read_card(trained), read_card(without)
    assert bare.reward_head is None
    head = card.num_parameters["reward_head"]
    assert head == sum(
        value.numel()
        for value in RewardHead(
            RewardHeadSettings.model_validate(card.reward_head), num_actions=2, height=HEIGHT, width=WIDTH
        ).parameters()
    )
    assert card.num_parameters["total"] == bare.num_parameters["total"] + head


def test_a_dream_tells_what_its_own_frames_pay(trained: Path, dataset: Path) -> None:
    model = open_telling(trained)
    head = model.reward_head
    assert head is not None
    clip = ClipReader(dataset).read("e1", 0, model.num_context_frames)
    shown = torch.from_numpy(clip.frames)[None].repeat(2, 1, 1, 1, 1)
    act = torch.from_numpy(clip.action)[None, :-1].repeat(2, 1)
    model.reset(shown, act, seed=0)
    for step in range(NUM_SEEN + 1):
        action = torch.tensor([step % 2, 1])
        prediction = model.step(action)
        shown = torch.cat([shown, prediction.frame[:, None]], dim=1)
        assert prediction.reward is not None
        expected = head.reward(last_seen(shown), action)
        torch.testing.assert_close(prediction.reward, expected, atol=0.02, rtol=0)  # frames are rounded


def test_a_row_that_begins_anew_leaves_the_rewards_of_others_alone(trained: Path, dataset: Path) -> None:
    def rewards(*, restarts: bool) -> list[float]:
        model = open_telling(trained)
        clip = ClipReader(dataset).read("e2", 0, model.num_context_frames)
        frames, act = torch.from_numpy(clip.frames)[None], torch.from_numpy(clip.action)[None, :-1]
        model.reset(frames.repeat(2, 1, 1, 1, 1), act.repeat(2, 1), seed=0)
        found: list[float] = []
        for step in range(4):
            if restarts and step == 2:
                model.restart(torch.tensor([1]), frames, act, seed=1)
            told = model.step(torch.tensor([1, 0])).reward
            assert told is not None
            found.append(told[0].item())
        return found

    assert rewards(restarts=True) == rewards(restarts=False)


def test_players_of_one_model_are_told_their_own_rewards(trained: Path, dataset: Path) -> None:
    model = open_telling(trained)
    clip = ClipReader(dataset).read("e1", 0, model.num_context_frames)
    frames, act = torch.from_numpy(clip.frames)[None], torch.from_numpy(clip.action)[None, :-1]

    def rewards(seat: Seat | TensorDreams, action: int) -> list[float]:
        found = [seat.step(torch.tensor([action])).reward for _ in range(3)]
        return [reward.item() for reward in found if reward is not None]

    expected: list[list[float]] = []
    for action in (0, 1):
        model.reset(frames, act, seed=0)
        expected.append(rewards(model, action))
    ensemble = Ensemble(open_telling(trained).twin())
    seats = [ensemble.seat(), ensemble.seat()]
    for seat in seats:
        seat.reset(frames, act, seed=0)
    assert [rewards(seat, action) for action, seat in enumerate(seats)] == expected
    assert expected[0] != expected[1]


def test_a_dataset_without_rewards_has_no_head(tmp_path: Path) -> None:
    unpaid = (replace(make_episode(seed), reward=np.zeros(60, np.float32)) for seed in range(6))
    write_dataset(tmp_path / "dataset", INFO, unpaid)
    folder = train(tiny_settings(), tmp_path / "dataset", tmp_path)
    assert read_card(folder).reward_head is None
    assert open_telling(folder).reward_head is None


def test_the_environment_pays_what_the_model_tells() -> None:
    def reward_of(survival_reward: float | None) -> tuple[float, bool]:
        environment = DreamEnv(Paying(), game="flappy", survival_reward=survival_reward)
        environment.reset(seed=3)
        _, reward, *_, info = environment.step(1)
        return reward, info["reward_is_learned"]

    assert reward_of(None) == (0.25, True)
    assert reward_of(0.5) == (0.5, False)


def test_a_damaged_head_is_refused(trained: Path, tmp_path: Path) -> None:
    for path in trained.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / REWARD_WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(CheckpointError, match=REWARD_WEIGHTS_FILE):
        open_telling(tmp_path)
