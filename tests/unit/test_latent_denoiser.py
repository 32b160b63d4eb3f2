"""The latent denoiser and what it is trained on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.latent_data import TINY_DENOISER, denoiser
from worldgen_core.diffusion.edm import preconditioners
from worldgen_core.models.chance import no_guides
from worldgen_core.models.inner_unet import block_convolutions
from worldgen_core.models.latent_denoiser import LatentContext, LatentDenoiser
from worldgen_core.training.diamond_vae_objective import (
    DiamondVaeLossSettings,
    DiamondVaeObjective,
    LatentBatch,
)

SHAPE = (4, 4, 2)


def context(b: int = 3) -> LatentContext:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(b, 2, *SHAPE, generator=generator)
    return LatentContext(z, torch.zeros(b, 2, dtype=torch.int64), torch.zeros(b), no_guides(z))


def batch(unroll: int = 3, b: int = 6) -> LatentBatch:
    generator = torch.Generator().manual_seed(2)
    length = 2 + unroll
    end = torch.zeros(b, length, dtype=torch.bool)
    end[::2, -1] = True
    return LatentBatch(
        torch.randn(b, length, *SHAPE, generator=generator),
        torch.randint(0, 2, (b, length), generator=generator),
        end,
    )


def losses(network: LatentDenoiser, windows: LatentBatch, **settings: object) -> dict[str, Tensor]:
    chosen = DiamondVaeLossSettings.model_validate(settings)
    objective = DiamondVaeObjective(network, chosen, lambda _: windows, sigma_start=20.0)
    return objective.loss(0, torch.Generator().manual_seed(3))


def test_without_noise_the_denoiser_leaves_a_latent_alone() -> None:
    network = LatentDenoiser(
        TINY_DENOISER.model_copy(
            update={"edm": TINY_DENOISER.edm.model_copy(update={"sigma_offset_noise": 0.0})}
        ),
        latent_shape=SHAPE,
        num_actions=2,
    )
    x = torch.randn(3, *SHAPE)
    torch.testing.assert_close(network(x, torch.full((3,), 1e-4), context()), x, rtol=1e-3, atol=1e-3)


def test_denoised_is_made_of_skip_and_output() -> None:
    network, x, sigma = denoiser(), torch.randn(3, *SHAPE), torch.tensor([0.1, 1.0, 10.0])
    factors = preconditioners(sigma, sigma_data=1.0, sigma_offset_noise=0.1)
    raw = network.raw(factors.c_in * x, factors.c_noise, context())
    torch.testing.assert_close(network(x, sigma, context()), factors.c_skip * x + factors.c_out * raw)


def test_products_in_bf16_come_back_as_float32() -> None:
    network = LatentDenoiser(TINY_DENOISER, latent_shape=SHAPE, num_actions=2)
    with torch.autocast("cpu", torch.bfloat16):
        denoised = network(torch.zeros(3, *SHAPE), torch.ones(3), context())
        assert denoised.dtype == network.end_logit(context(), denoised).dtype == torch.float32


def test_a_fresh_head_says_that_lives_rarely_end() -> None:
    torch.manual_seed(0)
    network = LatentDenoiser(TINY_DENOISER, latent_shape=(4, 16, 9), num_actions=2)
    z = torch.randn(8, 3, 4, 16, 9)
    plain = LatentContext(z[:, :2], torch.zeros(8, 2, dtype=torch.int64), torch.zeros(8), no_guides(z))
    assert torch.sigmoid(network.end_logit(plain, z[:, 2])).max() < 0.5


def test_loss_is_reproducible_and_finite() -> None:
    settings = {"dreams": True, "context_noise": 0.3, "change_weight": 2.0}
    first = losses(denoiser(), batch(), **settings)
    again = losses(denoiser(), batch(), **settings)
    assert {name: value.item() for name, value in first.items()} == {
        name: value.item() for name, value in again.items()
    }
    assert all(torch.isfinite(value) for value in first.values())


def test_dreams_never_see_the_truth_they_are_compared_with() -> None:
    """From pure noise, what is dreamt depends on the context alone; only the error changes with the truth."""
    seen: list[Tensor] = []
    network = denoiser()
    network.unet.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    windows = batch()
    other = windows._replace(z=torch.cat([windows.z[:, :2], windows.z[:, 2:] + 5], dim=1))
    for from_noise in (True, False):
        seen.clear()
        losses(network, windows, dreams=from_noise)
        losses(network, other, dreams=from_noise)
        assert [len(x) for x in seen] == [9 if from_noise else 6] * 6
        pairs = zip(seen[:3], seen[3:], strict=True)
        assert all(torch.equal(one[:6], two[:6]) for one, two in pairs) is from_noise


@pytest.mark.parametrize("dreams", [False, True])
def test_gradient_goes_through_an_honest_dream_alone(dreams: bool) -> None:
    gradients: list[Tensor] = []

    def keep(_: object, args: tuple[Tensor, ...]) -> None:
        if args[3].requires_grad:
            args[3].register_hook(gradients.append)

    network = denoiser()
    network.unet.register_forward_pre_hook(keep)
    losses(network, batch(), dreams=dreams)["loss"].backward()
    assert bool(gradients) is dreams


def test_ends_are_learned_without_bending_the_dream() -> None:
    network = denoiser()
    losses(network, batch(), end_weight=1.0)["loss"].backward()
    with_end = [weight.grad for weight in network.unet.parameters()]
    assert all(weight.grad is not None and weight.grad.any() for weight in network.end_head.parameters())
    plain = denoiser()
    losses(plain, batch(), end_weight=0.0)["loss"].backward()
    for one, other in zip(with_end, plain.unet.parameters(), strict=True):
        assert one is not None
        assert other.grad is not None
        torch.testing.assert_close(one, other.grad)


def test_change_weight_raises_the_loss_where_something_moves() -> None:
    still = batch()
    still = still._replace(z=still.z[:, :1].expand_as(still.z))
    for windows, rises in ((batch(), True), (still, False)):
        plain, heavy = (losses(denoiser(), windows, change_weight=w)["level"] for w in (0.0, 5.0))
        assert bool(heavy > plain * 1.5) is rises


def test_muon_takes_the_convolutions_of_blocks() -> None:
    matrices = block_convolutions(denoiser())
    assert len(matrices) == 2 * (1 + 1 + 2 + 2 + 2)
    assert all(weight.ndim == 4 for weight in matrices)
