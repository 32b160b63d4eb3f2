"""Losses of the denoiser and of the autoencoder's latent distribution: pure functions of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from worldgen_core.diffusion.edm import Preconditioners


class Judged(NamedTuple):
    """The loss, a value a sample, and the one-step estimate of the clean sample that it judged."""

    loss: Float32[Tensor, " b"]
    clean: Float32[Tensor, "b c h w"]


def edm_loss(
    network: Callable[[Tensor, Tensor], Tensor],
    clean: Float32[Tensor, "b c h w"],
    noisy: Float32[Tensor, "b c h w"],
    factors: Preconditioners,
    *,
    weight: Float32[Tensor, "b 1 h w"] | None = None,
) -> Judged:
    """Return the mean squared error between the network's output and (clean - c_skip noisy) / c_out.

    Equal to the denoiser's squared error divided by c_out^2, so that every noise level counts alike.
    `network` is called with (c_in noisy, c_noise). `weight` says how much each place counts; None counts all
    alike.
    Source: Karras et al. 2022, equation 8 with lambda = 1 / c_out^2.
    """
    output = network(factors.c_in * noisy, factors.c_noise)
    target = (clean - factors.c_skip * noisy) / factors.c_out
    error = (output - target) ** 2
    if weight is not None:
        error = error * weight
    denoised = factors.c_skip * noisy + factors.c_out * output
    return Judged(error.mean(dim=(1, 2, 3)), denoised)


def weight_of_change(
    before: Float32[Tensor, "b c h w"], clean: Float32[Tensor, "b c h w"], change_weight: float
) -> Float32[Tensor, "b 1 h w"]:
    """Return 1 and `change_weight` per unit of the largest change, in a place and the eight around it.

    Change is the mean over channels of the absolute difference. Around it, and not on it: a weight of just
    what turned out to change knows which way it went, and so bends an uncertain motion
    (docs/decisions/0003).
    """
    change = (clean - before).abs().mean(dim=1, keepdim=True)
    return 1 + change_weight * functional.max_pool2d(change, 3, stride=1, padding=1)


def kl_to_standard_normal(
    mean: Float32[Tensor, "b c h w"], log_variance: Float32[Tensor, "b c h w"]
) -> Float32[Tensor, ""]:
    """Return the mean over all latent values of KL(N(mean, variance) || N(0, 1)), in nats a value."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
