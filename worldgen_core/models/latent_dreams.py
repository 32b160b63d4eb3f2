"""What world models share that dream in latents: how a dream begins, and how it is shown."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from einops import rearrange
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from worldgen_core.diffusion.ddim_settings import DdimSettings
from worldgen_core.diffusion.samplers import SamplerSettings
from worldgen_core.models.chance import ChanceGuide, play_guides
from worldgen_core.models.dreams import Imagined, Slot, TensorDreams, picture, shown
from worldgen_core.models.latent_space import LatentSpace
from worldgen_core.ranges import to_unit

S = TypeVar("S", SamplerSettings, DdimSettings)


class LatentDreams(TensorDreams, Generic[S]):
    """A model whose state is the last latents `z` and the actions `act` between them."""

    def __init__(
        self, name: str, space: LatentSpace, chance: ChanceGuide | None, sampler: S, device: torch.device
    ) -> None:
        super().__init__(name, device)
        self._space = space.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing overload
        self.frame_shape = (space.card.height, space.card.width)
        self.takes_chance_from_truth = chance is not None
        self._chance = chance
        self._sampler: S = sampler

    @property
    def num_steps(self) -> dict[str, int]:
        """Sampler steps a frame; see `CanChangeSteps`."""
        return {"denoiser": self._sampler.num_steps}

    def with_steps(self, num_steps: Mapping[str, int]) -> LatentDreams[S]:
        """A twin that draws in another number of steps; see `CanChangeSteps`."""
        other = copy.copy(self)
        other._sampler = self._sampler.with_steps(num_steps.get("denoiser"))
        return other

    def _begin(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"]
    ) -> dict[str, Tensor]:
        z = self._space.encode(rearrange(to_unit(frames), "b t h w c -> (b t) c h w"))
        return {"z": rearrange(z, "(b t) c h w -> b t c h w", b=len(frames)), "act": actions}

    def _guides(self, truth: UInt8[Tensor, "b h w c"] | None) -> Float32[Tensor, "b g c h w"]:
        """The pictures that tell the next frame's chance: that of `truth`, or else one of the model's own."""
        z = None
        if truth is not None and self._chance is not None:
            z = self._space.encode(picture(truth, self._device))
        return play_guides(self._chance, self._state["z"], z, self._generators)

    @torch.inference_mode()
    def round_trip(self, frames: UInt8[Tensor, "b h w c"]) -> UInt8[Tensor, "b h w c"]:
        """What the autoencoder alone does to frames: encode and decode, without any dreaming."""
        obs = picture(frames, self._device)
        return shown(Imagined(self._space.decode(self._space.encode(obs)), None)).frame

    def _decoder_slots(self) -> dict[str, Slot]:
        light = self._space.light_decoder
        if light is None:
            return {"decoder": Slot(self._space.network, "decoder")}
        return {"coarse decoder": Slot(light, "coarse"), "fine decoder": Slot(light, "fine")}
