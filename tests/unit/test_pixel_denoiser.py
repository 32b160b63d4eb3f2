"""The denoiser and upsampler of `diamond`, against numbers from the authors' code and against their paper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.closed_form import WaveNoise, WaveNoiseByShape, wave, wave_weights
from worldgen_core.diffusion.edm import preconditioners
from worldgen_core.diffusion.samplers import SamplerSettings
from worldgen_core.models.inner_unet import InnerUnetSettings
from worldgen_core.models.pixel_denoiser import (
    PixelContext,
    PixelDenoiser,
    PixelDenoiserSettings,
    PixelStageSettings,
    draw_frame,
)
from worldgen_core.models.upsampler import enlarged
from worldgen_core.training.diamond_objective import DiamondLossSettings, DiamondObjective, PixelBatch

REFERENCE: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "references" / "diamond.json").read_text()
)
CASES: dict[str, list[float]] = REFERENCE["cases"]
HEIGHT, WIDTH = REFERENCE["shape"][1:]
GREY_LEVEL = 2 / 255


def network(name: str, **changes: object) -> PixelDenoiser:
    """The network that the reference was made with."""
    is_upsampler = name == "upsampler"
    unet = InnerUnetSettings(
        channels=(32, 64),
        depths=(1, 2),
        attention=(False, True),
        cond_channels=32,
        num_context_frames=1 if is_upsampler else 2,
    )
    values = {
        "unet": unet, "has_context_noise": not is_upsampler, "end_width": None, "compat": "diamond",
    }  # fmt: skip
    settings = PixelDenoiserSettings.model_validate({**values, **changes})
    denoiser = PixelDenoiser(settings, num_actions=None if is_upsampler else 3)
    shapes = {key: tuple(value.shape) for key, value in denoiser.state_dict().items()}
    denoiser.load_state_dict(wave_weights(shapes))
    return denoiser.eval()


def context(name: str) -> PixelContext:
    is_upsampler = name == "upsampler"
    act = None if is_upsampler else torch.tensor([[0, 2]])
    sigma = None if is_upsampler else torch.tensor([0.05])
    return PixelContext(wave((1, 2, 3, HEIGHT, WIDTH), 1.0), act, sigma)


def stage(denoiser: PixelDenoiser, case: str) -> PixelStageSettings:
    """The authors' samplers: theirs for the denoiser and for the upsampler differ in range and in context."""
    name, _, words = case.partition("/")
    method, _, churn, _, num_steps = words.split()
    values: dict[str, object] = {"sigma_min": 2e-3}
    if name == "upsampler":
        values = {"sigma_min": 1.0, "s_tmin": 1.0, "s_tmax": 5.0}
    sampler = SamplerSettings.model_validate(
        {**values, "method": method, "s_churn": float(churn), "num_steps": int(num_steps), "s_noise": 0.9}
    )
    return PixelStageSettings(
        denoiser=denoiser.settings, sampler=sampler, context_noise=0.0 if name == "upsampler" else 0.005
    )


def drawn(denoiser: PixelDenoiser, case: str) -> Tensor:
    ctx, noise = context(case.partition("/")[0]), WaveNoise()
    with torch.no_grad():
        return draw_frame(denoiser, ctx.obs, ctx.act, stage(denoiser, case), lambda shape: noise((1, *shape)))


def assert_close(found: Tensor, case: str) -> None:
    """Within 1e-5 of the largest value; a pixel on the border of two grey levels may fall to either side."""
    expected = torch.tensor(CASES[case]).reshape(1, 3, HEIGHT, WIDTH)
    distance = (found - expected).abs()
    is_off = distance > 1e-5 * expected.abs().max()
    assert is_off.sum() <= (0 if case.endswith("raw") else 2)
    assert distance.max() < 1.01 * GREY_LEVEL


@pytest.mark.parametrize("name", ["denoiser", "upsampler"])
@torch.no_grad()
def test_network_and_denoiser_agree_with_the_authors_code(name: str) -> None:
    denoiser, ctx = network(name), context(name)
    x, sigma = 2 * wave((1, 3, HEIGHT, WIDTH), 2.0), torch.tensor([0.8])
    factors = preconditioners(sigma, sigma_data=0.5, sigma_offset_noise=0.1)
    assert_close(denoiser.raw(factors.c_in * x, factors.c_noise, ctx), f"{name}/raw")
    assert_close(denoiser(x, sigma, ctx), f"{name}/denoised")


@pytest.mark.parametrize("case", [case for case in CASES if "steps" in case])
def test_samplers_agree_with_the_authors_code(case: str) -> None:
    assert_close(drawn(network(case.partition("/")[0]), case), case)


@pytest.mark.parametrize("case", ["denoiser/euler churn 0 steps 1", "upsampler/heun churn 5 steps 3"])
def test_the_default_is_the_papers_and_another(case: str) -> None:
    found = drawn(network(case.partition("/")[0], compat="paper"), case)
    expected = torch.tensor(CASES[case]).reshape(found.shape)
    assert (found - expected).abs().mean() > 3 * GREY_LEVEL
    assert found.abs().max() <= 1


@torch.no_grad()
def test_default_keeps_what_lies_between_grey_levels() -> None:
    denoised = torch.linspace(-1.2, 1.2, 50).reshape(1, 1, 5, 10).expand(1, 3, 5, 10)
    torch.testing.assert_close(network("upsampler", compat="paper").finish(denoised), denoised.clamp(-1, 1))
    cut = network("upsampler").finish(denoised)
    assert ((cut <= denoised.clamp(-1, 1) + 1e-6) & (cut > denoised.clamp(-1, 1) - GREY_LEVEL - 1e-6)).all()


@torch.no_grad()
def test_context_noise_leaves_guides_alone_and_a_clean_context_is_told_as_such() -> None:
    denoiser, ctx = network("denoiser", compat="paper"), context("denoiser")
    seen: list[PixelContext] = []
    plain = denoiser.raw

    def watch(x: Tensor, c_noise: Tensor, context: PixelContext) -> Tensor:
        seen.append(context)
        return plain(x, c_noise, context._replace(obs=context.obs[:, : ctx.obs.shape[1]]))

    denoiser.raw = watch
    drawing = stage(denoiser, "denoiser/euler churn 0 steps 3")
    obs = torch.cat([ctx.obs, ctx.obs[:, :1]], dim=1)  # a guide after the past frames
    for level in (0.3, 0.0):
        noisy = drawing.model_copy(update={"context_noise": level})
        draw_frame(denoiser, obs, ctx.act, noisy, lambda shape: torch.ones(1, *shape))
    first, last = seen[0], seen[-1]
    assert first.sigma is not None
    assert last.sigma is not None
    torch.testing.assert_close(first.obs, torch.cat([ctx.obs + 0.3, ctx.obs[:, :1]], dim=1))
    assert torch.equal(last.obs, obs)
    assert (float(first.sigma), float(last.sigma)) == pytest.approx((0.3, denoiser.settings.edm.sigma_min))


@pytest.mark.parametrize(("compat", "num_draws"), [("paper", 2), ("diamond", 4)])
def test_context_noise_is_drawn_once_or_in_every_step(compat: str, num_draws: int) -> None:
    denoiser, draws = network("denoiser", compat=compat), []

    def noise(shape: tuple[int, ...]) -> Tensor:
        draws.append(shape)
        return torch.zeros(1, *shape)

    ctx = context("denoiser")
    draw_frame(denoiser, ctx.obs, ctx.act, stage(denoiser, "denoiser/euler churn 0 steps 3"), noise)
    assert len(draws) == num_draws


def test_end_head_is_a_part_of_its_own() -> None:
    denoiser = PixelDenoiser(network("denoiser").settings.model_copy(update={"end_width": 4}), num_actions=3)
    past = torch.zeros(2, denoiser.num_context_frames, 3, HEIGHT, WIDTH)
    assert denoiser.end_logit(past, past[:, 0]).shape == (2,)


@pytest.mark.parametrize("name", ["denoiser", "upsampler"])
def test_loss_along_a_dream_agrees_with_the_authors_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = network(name)
    num_frames = denoiser.num_context_frames + 2
    act = torch.tensor([[0, 2, 1, 0], [1, 1, 0, 2]])[:, :num_frames]
    obs, guide = wave((2, num_frames, 3, HEIGHT, WIDTH), 1.0), None
    if name == "upsampler":
        low = wave((2, num_frames, 3, 2, 3), 1.0)
        obs = wave((2, num_frames, 3, 10, 15), 2.0)
        guide = torch.stack([enlarged(frame, (10, 15)) for frame in low.unbind(1)], dim=1)
    batch = PixelBatch(obs, act, torch.zeros_like(act, dtype=torch.bool), guide)
    objective = DiamondObjective(denoiser, DiamondLossSettings(), lambda _: batch, sigma_start=5.0)
    monkeypatch.setattr(torch, "randn", WaveNoiseByShape())
    loss = objective.loss(0, torch.Generator())["loss"].item()
    assert loss == pytest.approx(REFERENCE["losses"][name], rel=1e-5)
