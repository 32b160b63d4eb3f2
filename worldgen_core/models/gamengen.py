"""The `gamengen` world model at play: Stable Diffusion's U-Net dreams in latents, an autoencoder shows.

A model folder holds the network (model.json, model.safetensors) and the autoencoder (autoencoder.json,
autoencoder.safetensors), so it can also stand in for the autoencoder's own folder. Latents that are fed back
are neither clamped nor noised.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from worldgen_core.device import choose_device
from worldgen_core.diffusion.ddim import draw, make_scheduler
from worldgen_core.diffusion.ddim_settings import DdimSettings
from worldgen_core.models.card import ModelCard, fill, read_weights, settings_of
from worldgen_core.models.dreams import Imagined, Slot, appended
from worldgen_core.models.gamengen_network import GamengenContext, GamengenNetwork
from worldgen_core.models.gamengen_settings import GamengenCardSettings
from worldgen_core.models.latent_dreams import LatentDreams
from worldgen_core.models.latent_space import AUTOENCODER_WEIGHTS_FILE, LatentSpace, load_latent_space
from worldgen_core.names import DeviceName


class GamengenWorldModel(LatentDreams[DdimSettings]):
    """Dreams with a `GamengenNetwork`; each row of a batch draws its own noise."""

    def __init__(
        self, network: GamengenNetwork, space: LatentSpace, sampler: DdimSettings, device: torch.device
    ) -> None:
        super().__init__("gamengen", space, network.chance, sampler, device)
        self._network = network.to(device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]  # missing overload
        self._scheduler = make_scheduler(network.settings.schedule)
        self.num_context_frames = network.num_context_frames
        self.num_actions = network.num_actions

    @property
    def slots(self) -> dict[str, Slot]:
        """The U-Net and the decoder."""
        return {"unet": Slot(self._network, "unet"), **self._decoder_slots()}

    @torch.inference_mode()
    def advance(
        self,
        action: Int64[Tensor, " b"],
        truth: UInt8[Tensor, "b h w c"] | None = None,
    ) -> Imagined:
        """Dream the next frame from the model's own noise; see `WorldModel.step`."""
        act = torch.cat([self._state["act"], action.to(self._device)[:, None]], dim=1)
        clean = torch.zeros(len(act), dtype=torch.int64, device=self._device)
        context = GamengenContext(self._state["z"], act, clean, self._guides(truth))
        z = draw(
            self._scheduler,
            lambda x, level: self._network.guided(x, level, context, self._sampler.guidance),
            self._draw_noise(self._space.latent_shape),
            num_steps=self._sampler.num_steps,
        )
        end_logit = self._network.end_logit(context, z)
        self._state = {"z": appended(self._state["z"], z), "act": act[:, 1:]}
        return Imagined(self._space.decode(z), end_logit)


def load(folder: Path, card: ModelCard, device: DeviceName) -> GamengenWorldModel:
    """Open a model folder that `train_gamengen` wrote.

    Raises: CheckpointError if a file is damaged or does not fit its card; ConfigError for a missing device.
    """
    read_weights(folder, card, file_name=AUTOENCODER_WEIGHTS_FILE)  # proves the digest
    space, settings = load_latent_space(folder), settings_of(card, GamengenCardSettings)
    network = GamengenNetwork(
        settings.network, latent_shape=space.latent_shape, num_actions=len(card.action_names)
    )
    fill(network, read_weights(folder, card), source=str(folder))
    return GamengenWorldModel(network, space, settings.sampler, choose_device(device))
