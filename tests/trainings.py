"""The trainings of the project in their smallest form, under one signature, for tests of the loop they share.

`layered` has its own in tests/unit/test_layered_model.py: its footage takes a minute to track.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.diamond_data import diamond_settings, make_upsampler, upsampler_settings
from tests.direct_data import make_dataset
from tests.direct_data import tiny_settings as direct_settings
from tests.gamengen_data import gamengen_settings
from tests.latent_data import autoencoder_settings, diamond_vae_settings, make_autoencoder, make_latents
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent, silent
from worldgen_core.training.autoencoder import train_autoencoder
from worldgen_core.training.diamond import train_diamond
from worldgen_core.training.diamond_vae import train_diamond_vae
from worldgen_core.training.diamond_vae_objective import DiamondVaeLossSettings
from worldgen_core.training.direct import train_direct
from worldgen_core.training.gamengen import train_gamengen
from worldgen_core.training.upsampler import train_upsampler

MODELS = (
    "direct",
    "autoencoder",
    "diamond-vae",
    "diamond-ae",
    "upsampler",
    "diamond",
    "diamond-small",
    "gamengen",
)
NUM_STEPS = 6


class Interrupted(Exception):
    """What `interrupt_after` raises."""


def interrupt_after(num_steps: int) -> Progress:
    """Raise after so many training steps of this run."""
    done = 0

    def progress(event: ProgressEvent) -> None:
        nonlocal done
        done += "loss" in event.metrics
        if done == num_steps:
            raise Interrupted

    return progress


class Trainings:
    """The data that they share, made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _dataset(self) -> Path:
        return make_dataset(self._folder / "data")

    @cached_property
    def _upsampler(self) -> Path:
        make_upsampler(self._dataset, self._folder / "upsampler")
        return self._folder / "upsampler"

    @cached_property
    def _latents(self) -> tuple[Path, Path]:
        autoencoder = make_autoencoder(self._dataset, self._folder / "autoencoder")
        return make_latents(self._dataset, autoencoder, self._folder / "latents"), autoencoder

    def run(self, model: str, folder: Path, *, progress: Progress = silent, **loop: object) -> Outcome:
        """Train `model` into `folder`/out, with some settings of its loop changed."""
        function, settings, folders = self._training(model)
        out = folder / "out"
        out.mkdir(parents=True, exist_ok=True)
        changed = settings.model_copy(update={"loop": settings.loop.model_copy(update=loop)})
        return function(changed, *folders, out=out, resume=folder / "resume", progress=progress)

    def _training(self, model: str) -> tuple[Callable[..., Outcome], Any, tuple[Path | None, ...]]:
        match model:
            case "direct":
                return train_direct, direct_settings(NUM_STEPS), (self._dataset, None)
            case "autoencoder":
                return train_autoencoder, autoencoder_settings(NUM_STEPS), (self._dataset,)
            case "upsampler":
                return train_upsampler, upsampler_settings(NUM_STEPS), (self._dataset,)
            case "diamond" | "diamond-small":
                dreams = model == "diamond"  # `diamond-small` as DIAMOND trains
                settings = diamond_settings(NUM_STEPS, dreams=dreams).model_copy(update={"model": model})
                return train_diamond, settings, (self._dataset, self._upsampler, None)
            case "gamengen":
                return train_gamengen, gamengen_settings(NUM_STEPS), (self._dataset, *self._latents, None)
            case _:
                settings = diamond_vae_settings(NUM_STEPS).model_copy(update={"model": model})
                if model == "diamond-ae":
                    # As DIAMOND trains; `diamond-vae` dreams its windows from noise.
                    settings = settings.model_copy(update={"loss": DiamondVaeLossSettings(context_noise=0.1)})
                return train_diamond_vae, settings, (self._dataset, *self._latents, None)
