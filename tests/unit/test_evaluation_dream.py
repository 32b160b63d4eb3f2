"""Rollouts: lives start anew without disturbing their neighbours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.evaluation_fakes import NUM_CONTEXT_FRAMES, Archive, Oracle, Still, traced
from tests.latent_data import denoiser, latent_space
from worldgen_core.diffusion.samplers import SamplerSettings
from worldgen_core.evaluation.dream import (
    DreamSlots,
    GameSlots,
    blank_dream,
    dream_along,
    frames_wanted,
    rows_by_length,
)
from worldgen_core.evaluation.image_panel import HasAutoencoder
from worldgen_core.evaluation.starts import Context, draw_starts, true_context
from worldgen_core.games.catalogue import get_game
from worldgen_core.models.card import ModelCard
from worldgen_core.models.diamond_vae import DiamondVaeWorldModel
from worldgen_core.models.direct import DirectWorldModel, build
from worldgen_core.models.direct_network import DirectArchitecture
from worldgen_core.models.interface import CanRestart, WorldModel


def small_direct_model() -> DirectWorldModel:
    arch = DirectArchitecture(
        num_context_frames=NUM_CONTEXT_FRAMES, channels=(8, 8), num_blocks=(1, 1, 1), condition=8, memory=2
    )
    card = ModelCard(
        model="direct",
        game="flappy",
        action_names=("idle", "flap"),
        height=16,
        width=8,
        fps=30,
        settings=arch.model_dump(mode="json"),
        num_parameters={},
        dataset={},
        training={},
        weights_sha256={},
    )
    torch.manual_seed(0)
    network = build(card)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return DirectWorldModel(network, card, torch.device("cpu"))


def small_diamond_model() -> DiamondVaeWorldModel:
    sampler = SamplerSettings(num_steps=2, sigma_min=0.5)
    return DiamondVaeWorldModel(denoiser(), latent_space(), sampler, torch.device("cpu"))


def random_contexts(number: int, num_frames: int) -> list[Context]:
    rng = np.random.default_rng(number)
    return [
        Context(
            rng.integers(0, 256, (num_frames, 16, 8, 3), dtype=np.uint8),
            rng.integers(0, 2, num_frames - 1),
        )
        for _ in range(number)
    ]


@pytest.mark.parametrize("make", [small_direct_model, small_diamond_model])
def test_a_restart_leaves_the_other_dreams_undisturbed(make: Callable[[], WorldModel]) -> None:
    contexts = random_contexts(3, make().num_context_frames)
    disturbed, undisturbed = (DreamSlots(make(), contexts, seed=1) for _ in range(2))
    action = np.array([0, 1, 0])
    disturbed.step(action)
    undisturbed.step(action)
    disturbed.restart({1: contexts[0]})
    np.testing.assert_array_equal(disturbed.frames[1], contexts[0].frames[-1])
    for _ in range(3):
        disturbed.step(action)
        undisturbed.step(action)
    np.testing.assert_array_equal(disturbed.frames[[0, 2]], undisturbed.frames[[0, 2]])
    assert (disturbed.frames[1] != undisturbed.frames[1]).any()


@pytest.mark.parametrize("make", [small_direct_model, small_diamond_model])
def test_a_restarted_dream_is_a_fresh_one(make: Callable[[], WorldModel]) -> None:
    model, alone = make(), make()
    assert isinstance(model, CanRestart)
    contexts = random_contexts(3, model.num_context_frames)
    frames = torch.from_numpy(np.stack([context.frames for context in contexts]))
    actions = torch.from_numpy(np.stack([context.actions for context in contexts]))
    model.reset(frames, actions, seed=5)
    model.step(torch.tensor([1, 1, 1]))
    model.restart(torch.tensor([2]), frames[:1], actions[:1], seed=9)
    alone.reset(frames[:1], actions[:1], seed=9)
    for act in (0, 1, 1):
        together = model.step(torch.tensor([0, 0, act])).frame[2].float()
        # Batches of another size may round a level differently.
        assert (together - alone.step(torch.tensor([act])).frame[0].float()).abs().max() <= 1


def test_an_autoencoder_s_round_trip_is_offered_to_the_picture_panel() -> None:
    model = small_diamond_model()
    assert isinstance(model, HasAutoencoder)
    assert not isinstance(small_direct_model(), HasAutoencoder)
    frames = torch.from_numpy(random_contexts(1, 4)[0].frames)
    shown = model.round_trip(frames)
    assert shown.shape == frames.shape
    assert shown.dtype == torch.uint8


def test_a_model_that_cannot_restart_rows_is_reset_with_its_own_frames() -> None:
    contexts = [
        Context(np.full((NUM_CONTEXT_FRAMES, 2, 2, 3), level, dtype=np.uint8), np.zeros(2, dtype=np.int64))
        for level in (10, 20)
    ]
    slots = DreamSlots(Still(), contexts, seed=0)
    slots.step(np.array([0, 1]))
    slots.restart({0: contexts[1]})
    slots.step(np.array([0, 1]))
    assert slots.frames[:, 0, 0, 0].tolist() == [20, 20]


def test_dreams_along_starts_stop_one_frame_after_the_crash() -> None:
    archive = Archive()
    game = traced(get_game("flappy"), archive)
    starts = draw_starts(game, seed=1, num_starts=6, horizon=48, num_context_frames=NUM_CONTEXT_FRAMES)
    assert 0 < (starts.death < 48).sum() < 6
    dream = blank_dream(starts)
    for rows in rows_by_length(starts, 4):
        dream_along(Oracle(game, archive), starts, rows, dream, seed=0, count=lambda _: None)
    wanted = frames_wanted(starts)
    for i in range(6):
        length = min(int(starts.death[i]) + 1, 48)
        # The archive's marks in the first row differ, the game below does not.
        np.testing.assert_array_equal(dream.frames[i, :length, 1:], starts.truth[i, :length, 1:])
        assert np.isfinite(dream.terminated[i]).sum() == wanted[i]
        assert not dream.frames[i, wanted[i] :].any()
        if starts.death[i] < 48:
            assert dream.terminated[i, starts.death[i]] == 1
            assert np.nansum(dream.terminated[i]) == 1


def test_game_slots_go_on_from_their_contexts() -> None:
    game = get_game("flappy")
    contexts = [true_context(game, seed=seed, num_frames=3, max_warmup=10) for seed in (1, 2)]
    slots = GameSlots(contexts)
    over = np.zeros(2, dtype=bool)
    num_frames = 0
    while not over.any():
        over = slots.step(np.zeros(2, dtype=np.int64))
        num_frames += 1
    assert num_frames < 60, "a bird that never flaps dies soon"
    ended = int(np.flatnonzero(over)[0])
    slots.restart({ended: true_context(game, seed=3, num_frames=3, max_warmup=10)})
    slots.step(np.ones(2, dtype=np.int64))


def test_held_out_starts_are_the_same_for_the_same_seed() -> None:
    game = get_game("flappy")
    one, same, other = (
        draw_starts(game, seed=seed, num_starts=2, horizon=6, num_context_frames=4) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.truth, same.truth)
    assert (one.truth != other.truth).any()
    assert one.context.shape == (2, 4, 128, 72, 3)
    assert one.context_action.shape == (2, 3)
