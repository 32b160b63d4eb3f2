"""The rungs, in order: the published story first, then our own; a rung is one entry here.

The story is the recipe's that this project follows (docs/decisions/0012): DIAMOND as published for a game of
large frames, made smaller and faster step by step.
"""

from __future__ import annotations

from typing import Any

from worldgen_core.ladder.settings import LadderSettings, Played, Rung


def _steps(denoiser: int, upsampler: int, method: str = "euler") -> dict[str, Any]:
    """Sampler settings of `diamond`'s two stages."""
    return {
        "diamond": {"stage": {"sampler": {"num_steps": denoiser}}},
        "upsampler": {"upsampler": {"stage": {"sampler": {"num_steps": upsampler, "method": method}}}},
    }


def _card_steps(denoiser: int, upsampler: int, method: str = "euler") -> dict[str, Any]:
    """The same in the words of a trained model's card.

    The last noise level goes back to where many steps expect it: the laptop's own is made for one or two.
    """
    last = {"sigma_min": 2e-3}
    return {
        "stage": {"sampler": {"num_steps": denoiser, **(last if denoiser > 2 else {})}},
        "upsampler": {"stage": {"sampler": {"num_steps": upsampler, "method": method, **last}}},
    }


_FEW = _steps(2, 1)
_CHANNELS = {"channels": (64, 128, 256, 384)}
_BLOCKS = _CHANNELS | {"depths": (1, 2, 2, 1)}
_NARROW = {"cond_channels": 1024}


def _smaller(unet: dict[str, Any], upsampler: dict[str, Any] | None = None) -> dict[str, Any]:
    """`diamond` with two and one steps and other sizes of its U-Nets."""
    stage = {**_FEW["diamond"]["stage"], "denoiser": {"unet": unet}}
    large = {**_FEW["upsampler"]["upsampler"]["stage"], "denoiser": {"unet": upsampler or {}}}
    return {"diamond": {"stage": stage}, "upsampler": {"upsampler": {"stage": large}}}


_FULL = Played(model="diamond", changes=_card_steps(3, 10))
_TWO_STEPS = {"sampler": {"num_steps": 2}}
"""As the published latent models draw; the laptop's draw in one step of their own."""
_VAE = Played(model="diamond-vae", changes=_TWO_STEPS)
_FULL_DECODER = {"distil_decoder": {"is_on": False}}
_ONE_STEP = {"diamond_vae": {"sampler": {"num_steps": 1}}, **_FULL_DECODER}
_ONE_STEP_LIGHT = {"diamond_vae": {"sampler": {"num_steps": 1}}, "distil_decoder": {"is_on": True}}

PUBLISHED = (
    Rung(name="DIAMOND in full", model="diamond", quality=_FULL),
    Rung(
        name="weights in float16",
        model="diamond",
        precision="float16",
        is_aside=True,
        quality=_FULL.model_copy(update={"precision": "float16"}),
    ),
    Rung(
        name="weights in bf16",
        model="diamond",
        precision="bf16",
        is_aside=True,
        quality=_FULL.model_copy(update={"precision": "bf16"}),
    ),
    Rung(
        name="2 + 2 steps, Euler",
        model="diamond",
        changes=_steps(2, 2),
        quality=Played(model="diamond", changes=_card_steps(2, 2)),
    ),
    Rung(
        name="2 + 2 steps, Heun",
        model="diamond",
        changes=_steps(2, 2, "heun"),
        is_aside=True,
        quality=Played(model="diamond", changes=_card_steps(2, 2, "heun")),
    ),
    Rung(
        name="2 + 1 steps",
        model="diamond",
        changes=_FEW,
        quality=Played(model="diamond", changes=_card_steps(2, 1)),
    ),
    Rung(name="fewer channels", model="diamond", changes=_smaller(_CHANNELS)),
    Rung(name="fewer blocks", model="diamond", changes=_smaller(_BLOCKS)),
    Rung(
        name="narrow conditioning",
        model="diamond",
        changes=_smaller(_BLOCKS, _NARROW),
        quality=Played(model="diamond-small", changes=_card_steps(2, 1)),
    ),
    Rung(
        name="plain autoencoder",
        model="diamond-ae",
        changes=_FULL_DECODER,
        quality=Played(model="diamond-ae", changes=_TWO_STEPS),
    ),
    Rung(name="TAESD-shaped VAE", model="diamond-vae", changes=_FULL_DECODER, quality=_VAE),
)
"""The published rungs; float16 and bf16 stand beside the ladder, since later rungs are float32 again."""

OWN = (
    Rung(
        name="channels_last",
        model="diamond-vae",
        layout="channels_last",
        changes=_FULL_DECODER,
        quality=_VAE,
    ),
    Rung(
        name="channels_last, bf16",
        model="diamond-vae",
        changes=_FULL_DECODER,
        precision="bf16",
        layout="channels_last",
        is_aside=True,
        quality=_VAE.model_copy(update={"precision": "bf16"}),
    ),
    Rung(
        name="channels_last, float16",
        model="diamond-vae",
        changes=_FULL_DECODER,
        precision="float16",
        layout="channels_last",
        is_aside=True,
        quality=_VAE.model_copy(update={"precision": "float16"}),
    ),
    Rung(
        name="one step",
        model="diamond-vae",
        layout="channels_last",
        changes=_ONE_STEP,
        quality=Played(model="diamond-vae", changes={"sampler": {"num_steps": 1}}),
    ),
    Rung(
        name="light decoder",
        model="diamond-vae",
        layout="channels_last",
        changes=_ONE_STEP_LIGHT,
    ),
    Rung(
        name="the runtime's OpenVINO",
        model="diamond-vae",
        layout="channels_last",
        backend="openvino",
        changes=_ONE_STEP_LIGHT,
    ),
    Rung(
        name="OpenVINO, bf16",
        model="diamond-vae",
        precision="bf16",
        layout="channels_last",
        backend="openvino-bf16",
        changes=_ONE_STEP_LIGHT,
    ),
    Rung(
        name="direct, laptop",
        model="direct",
        profile="laptop",
        layout="channels_last",
        quality=Played(model="direct"),
    ),
    Rung(
        name="layered, laptop",
        model="layered",
        profile="laptop",
        is_whole=True,
        quality=Played(model="layered"),
    ),
)
"""Where this project goes on from there."""

RUNGS = (*(rung.model_copy(update={"is_published": True}) for rung in PUBLISHED), *OWN)


def ladder() -> LadderSettings:
    """A measurement of about five minutes on two cores without fast bf16."""
    return LadderSettings(rungs=RUNGS)


def quick_ladder() -> LadderSettings:
    """A minute: large pictures are timed small and scaled, memory is counted."""
    return LadderSettings(rungs=RUNGS, num_rounds=2, max_gflop=60.0, has_memory=False)
