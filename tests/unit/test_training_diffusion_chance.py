"""The fit of a diffusion model's prior to the dreams that its objective judges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from tests.latent_data import TINY_DENOISER, TINY_WITH_CHANCE, diamond_vae_settings
from worldgen_core.models.latent_denoiser import LatentDenoiser
from worldgen_core.progress import silent
from worldgen_core.training.diamond_vae_objective import DiamondVaeObjective
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings
from worldgen_core.training.diffusion_chance import dreams_of, fit_chance
from worldgen_core.training.latent_windows import LatentBatch
from worldgen_core.training.loop import TrainingRun
from worldgen_core.training.prior_settings import PriorFitSettings

SHAPE = (4, 6, 5)
NUM_CONTEXT = TINY_DENOISER.unet.num_context_frames


def network_with(*, chance: bool) -> LatentDenoiser:
    torch.manual_seed(0)
    return LatentDenoiser(
        TINY_WITH_CHANCE if chance else TINY_DENOISER, latent_shape=SHAPE, num_actions=2
    ).requires_grad_(True)


def windows(step: int, *, b: int = 5, unroll: int = 3) -> LatentBatch:
    """Noise, so that every frame has chance."""
    length = NUM_CONTEXT + unroll
    z = torch.randn(b, length, *SHAPE, generator=torch.Generator().manual_seed(step))
    return LatentBatch(z, torch.zeros(b, length, dtype=torch.int64), torch.zeros(b, length, dtype=torch.bool))


def objective_of(network: LatentDenoiser) -> Callable[[DiamondVaeSettings], DiamondVaeObjective]:
    """As the trainer makes it: batches of the settings' curriculum."""

    def objective(settings: DiamondVaeSettings) -> DiamondVaeObjective:
        phase = settings.phases[-1]
        return DiamondVaeObjective(
            network,
            settings.loss,
            lambda step: windows(step, b=phase.batch_size, unroll=phase.unroll),
            sigma_start=20.0,
        )

    return objective


def fitted(network: LatentDenoiser, folder: Path, num_steps: int) -> TrainingRun:
    fit = PriorFitSettings(num_examples=100, unroll=3, num_windows=10, batch_size=32, num_steps=num_steps)
    settings = diamond_vae_settings().model_copy(update={"prior": fit})
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    return fit_chance(
        TrainingRun(weights, [], 1.0),
        settings,
        network,
        network.chance,
        objective_of(network),
        resume=folder,
        progress=silent,
    )


def test_examples_are_what_prior_and_encoder_met_in_the_dream() -> None:
    network = network_with(chance=True)
    assert network.chance is not None
    with torch.no_grad():
        dream = dreams_of(objective_of(network)(diamond_vae_settings()), network.chance)
        examples = dream(7, torch.Generator().manual_seed(0))
        z = windows(7, b=2, unroll=4).z
        mean, log_std = network.chance.encoder(z[:, NUM_CONTEXT - 1], z[:, NUM_CONTEXT])
        seen = network.chance.prior.seen(z[:, NUM_CONTEXT - 1])
    assert [len(part.mean) for part in examples] == [2, 2, 2, 2]  # two windows of four frames
    assert torch.equal(examples[0].mean, mean)
    assert torch.equal(examples[0].log_std, log_std)
    assert torch.equal(examples[0].seen, seen.half())
    second = network.chance.prior.seen(z[:, NUM_CONTEXT]).half()
    assert not torch.equal(examples[1].seen, second)  # the prior sees the dreamt frame, not the true one
    assert not network.chance.prior._forward_hooks  # nothing goes on watching  # pyright: ignore[reportPrivateUsage]


def test_only_the_prior_changes_and_it_expects_more_of_what_comes(tmp_path: Path) -> None:
    network = network_with(chance=True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert network.chance is not None
    dream = dreams_of(objective_of(network)(diamond_vae_settings()), network.chance)

    def surprise() -> float:
        assert network.chance is not None
        with torch.no_grad():
            parts = [
                part for index in range(20) for part in dream(index, torch.Generator().manual_seed(index))
            ]
            mixtures = [network.chance.prior.mixture(part.seen.float()) for part in parts]
            return float(
                torch.cat([-m.log_prob(p.mean) for m, p in zip(mixtures, parts, strict=True)]).mean()
            )

    surprise_before = surprise()
    run = fitted(network, tmp_path, num_steps=100)
    changed = {name for name, value in before.items() if not torch.equal(value, run.weights[name])}
    assert changed == {name for name in before if name.startswith("chance.prior.")}
    assert surprise() < surprise_before - 0.1


def test_without_chance_or_steps_nothing_is_fitted(tmp_path: Path) -> None:
    bare, off = network_with(chance=False), network_with(chance=True)
    for network, num_steps in ((bare, 10), (off, 0)):
        before = network.state_dict()
        run = fitted(network, tmp_path, num_steps=num_steps)
        assert all(torch.equal(before[name], value) for name, value in run.weights.items())
        assert not list(tmp_path.iterdir())
