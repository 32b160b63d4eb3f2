"""The `direct` world model at play: a dream frame by frame from a trained `DirectNetwork`."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor, nn

from worldgen_core.device import choose_device
from worldgen_core.models.blocks import depth_to_space, space_to_depth
from worldgen_core.models.card import ModelCard, fill, read_weights, settings_of
from worldgen_core.models.direct_network import DirectArchitecture, DirectNetwork
from worldgen_core.models.dreams import Imagined, Slot, TensorDreams, appended
from worldgen_core.names import DeviceName
from worldgen_core.ranges import to_unit


class DirectPredictor(nn.Module):
    """A `DirectNetwork` that takes its context as one tensor and returns a plain tuple."""

    def __init__(self, network: DirectNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        context: Float32[Tensor, "b t cells h w"],
        act: Int64[Tensor, "b t"],
        chance: Float32[Tensor, "b z"],
        memory: Float32[Tensor, "b m h w"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return cells, termination logit and memory; see `DirectNetwork.forward`."""
        out = self.network(list(context.unbind(1)), act, chance, memory)
        return out.cells, out.end_logit, out.memory


class DirectWorldModel(TensorDreams):
    """Dreams with a `DirectNetwork`; what it feeds back to itself is its own unrounded prediction."""

    def __init__(self, network: DirectNetwork, card: ModelCard, device: torch.device) -> None:
        super().__init__("direct", device)
        network.to(device)
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # not in torch's stubs
        self._network = network.eval()
        self._predictor: nn.Module = DirectPredictor(network)
        self.num_context_frames = network.arch.num_context_frames
        self.num_actions = network.num_actions
        self.frame_shape = (card.height, card.width)
        self.takes_chance_from_truth = True

    def _begin(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"]
    ) -> dict[str, Tensor]:
        cells = torch.stack([self._to_cells(frames[:, t]) for t in range(frames.shape[1])], dim=1)
        return {"context": cells, "act": actions, "memory": self._network.start_memory(len(frames))}

    @property
    def slots(self) -> dict[str, Slot]:
        """The whole network but the chance, which is drawn outside."""
        return {"predictor": Slot(self, "_predictor")}

    @torch.inference_mode()
    def advance(self, action: Int64[Tensor, " b"], truth: UInt8[Tensor, "b h w c"] | None = None) -> Imagined:
        """Dream the next frame; see `WorldModel.step`.

        From `truth` the chance encoder sees only where new content enters, as the card's settings say.
        """
        network, state = self._network, self._state
        last = state["context"][:, -1]
        act = torch.cat([state["act"], action.to(self._device)[:, None]], dim=1)
        if truth is None:
            chance = network.prior(last).sample(self._generators)
        else:
            chance, _ = network.encoder(last, self._to_cells(truth))
        cells, end_logit, memory = self._predictor(state["context"], act, chance, state["memory"])
        obs = (cells + network.background).clamp(-1.0, 1.0)
        self._state = {
            "context": appended(state["context"], obs - network.background),
            "act": act[:, 1:],
            "memory": memory,
        }
        return Imagined(depth_to_space(obs, network.arch.block), end_logit)

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
