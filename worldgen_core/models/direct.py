"""The `direct` world model at play: a dream frame by frame from a trained `DirectNetwork`."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from worldgen_core.device import choose_device
from worldgen_core.errors import ContextLengthError
from worldgen_core.models.blocks import depth_to_space, space_to_depth
from worldgen_core.models.card import ModelCard, fill, read_weights, settings_of
from worldgen_core.models.direct_network import DirectArchitecture, DirectNetwork
from worldgen_core.models.interface import Prediction
from worldgen_core.names import DeviceName
from worldgen_core.ranges import to_u8, to_unit
from worldgen_core.seeds import derive_seed


class DirectWorldModel:
    """Dreams with a `DirectNetwork`; what it feeds back to itself is its own unrounded prediction."""

    def __init__(self, network: DirectNetwork, card: ModelCard, device: torch.device) -> None:
        network.to(device)
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # not in torch's stubs
        self._network = network.eval()
        self._device = device
        self.num_context_frames = network.arch.num_context_frames
        self.num_actions = network.num_actions
        self.frame_shape = (card.height, card.width)
        self.takes_chance_from_truth = True

    @torch.inference_mode()
    def reset(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b t-1"], *, seed: int
    ) -> None:
        """Start b dreams; see `WorldModel.reset`."""
        if frames.shape[1] != self.num_context_frames:
            raise ContextLengthError(
                "reset of a direct model",
                expected=f"{self.num_context_frames} context frames",
                found=f"{frames.shape[1]}",
                next_step="give as many frames as the model's `num_context_frames`",
            )
        self._context = [self._to_cells(frames[:, t]) for t in range(frames.shape[1])]
        self._act = actions.to(self._device)
        self._memory = self._network.start_memory(len(frames))
        self._generators = [
            torch.Generator().manual_seed(derive_seed(seed, "dream", row)) for row in range(len(frames))
        ]

    @torch.inference_mode()
    def restart(
        self,
        rows: Int64[Tensor, " r"],
        frames: UInt8[Tensor, "r t h w c"],
        actions: Int64[Tensor, "r past"],
        *,
        seed: int,
    ) -> None:
        """Start some dreams anew and leave the others as they are; see `CanRestart.restart`."""
        state, generators = [*self._context, self._act, self._memory], self._generators
        self.reset(frames, actions, seed=seed)
        fresh = [*self._context, self._act, self._memory]
        for row, generator in zip(rows.tolist(), self._generators, strict=True):
            generators[row] = generator
        *self._context, self._act, self._memory = (
            whole.index_copy(0, rows.to(whole.device), part) for whole, part in zip(state, fresh, strict=True)
        )
        self._generators = generators

    @torch.inference_mode()
    def step(
        self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
    ) -> Prediction:
        """Dream the next frame; see `WorldModel.step`.

        From `truth` the chance encoder sees only where new content enters, as the card's settings say.
        """
        network = self._network
        act = torch.cat([self._act, action.to(self._device)[:, None]], dim=1)
        if truth is None:
            chance = network.prior(self._context[-1]).sample(self._generators)
        else:
            chance, _ = network.encoder(self._context[-1], self._to_cells(truth))
        out = network(self._context, act, chance, self._memory)
        obs = (out.cells + network.background).clamp(-1.0, 1.0)
        self._context = [*self._context[1:], obs - network.background]
        self._act, self._memory = act[:, 1:], out.memory
        frame = to_u8(depth_to_space(obs, network.arch.block)).permute(0, 2, 3, 1).contiguous()
        return Prediction(frame.cpu(), reward=None, terminated=torch.sigmoid(out.end_logit).cpu())

    def _to_cells(self, frames: UInt8[Tensor, "b h w c"]) -> Tensor:
        obs = to_unit(frames.to(self._device)).permute(0, 3, 1, 2)
        return space_to_depth(obs, self._network.arch.block) - self._network.background


def build(card: ModelCard) -> DirectNetwork:
    """Return the untrained network that a card describes.

    Raises: CheckpointError if the card is not that of a `direct` model of today.
    """
    arch = settings_of(card, DirectArchitecture)
    return DirectNetwork(arch, num_actions=len(card.action_names), height=card.height, width=card.width)


def load(folder: Path, card: ModelCard, device: DeviceName) -> DirectWorldModel:
    """Open a model folder that `train_direct` wrote.

    Raises: CheckpointError if the weights are damaged or do not fit; ConfigError for a missing device.
    """
    network = build(card)
    fill(network, read_weights(folder, card), source=str(folder))
    return DirectWorldModel(network, card, choose_device(device))
