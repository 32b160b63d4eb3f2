"""What world models share whose dreams are tensors: their state, beginning anew row by row, and chance.

Owns also the way from a predicted picture to a shown frame, and the slots in which a model keeps its
networks, so that worldgen_core/runtime can put faster ones there.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float32, Int64, Shaped, UInt8
from torch import Tensor, nn

from worldgen_core.errors import ContextLengthError
from worldgen_core.models.interface import Prediction
from worldgen_core.models.reward_head import RewardHead, last_seen
from worldgen_core.ranges import to_u8, to_unit
from worldgen_core.seeds import derive_seed

_SEEN = "seen"
"""The last pictures that were shown, in the state of a model with a reward head."""


class Dreams(NamedTuple):
    """The state of b dreams: tensors by name, batch axis first, and a random generator a dream."""

    tensors: dict[str, Tensor]
    generators: list[torch.Generator]


class Imagined(NamedTuple):
    """A predicted frame before it is rounded, in [-1, 1]; the logit of its ending a life, if learnt."""

    obs: Float32[Tensor, "b c h w"]
    end_logit: Float32[Tensor, " b"] | None


class Slot(NamedTuple):
    """Where a model keeps a network that takes and returns tensors alone, batch axis first."""

    owner: object
    attribute: str

    @property
    def network(self) -> nn.Module:
        """What is there now."""
        found: nn.Module = getattr(self.owner, self.attribute)
        return found

    def put(self, network: nn.Module) -> None:
        """Replace it by one that computes the same."""
        setattr(self.owner, self.attribute, network)


def join(parts: Sequence[Dreams]) -> Dreams:
    """The dreams of all parts in one batch."""
    tensors = {name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors}
    return Dreams(tensors, [generator for part in parts for generator in part.generators])


def split(dreams: Dreams) -> list[Dreams]:
    """Each dream of a batch on its own."""
    return [
        Dreams({name: whole[row : row + 1] for name, whole in dreams.tensors.items()}, [generator])
        for row, generator in enumerate(dreams.generators)
    ]


class TensorDreams(ABC):
    """A world model whose dreams are tensors; `dreams` may be taken out, and others put in."""

    num_context_frames: int
    num_actions: int
    frame_shape: tuple[int, int]
    takes_chance_from_truth: bool

    def __init__(self, name: str, device: torch.device) -> None:
        self._name = name
        self._device = device
        self._state: dict[str, Tensor] = {}
        self._generators: list[torch.Generator] = []
        self._reward_head: RewardHead | None = None

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    @property
    def reward_head(self) -> RewardHead | None:
        """What tells the rewards of frames that `step` shows; None: nobody asked, or they are not learnt."""
        return self._reward_head

    @reward_head.setter
    def reward_head(self, head: RewardHead | None) -> None:
        self._reward_head = None if head is None else head.to(self._device)

    def twin(self) -> TensorDreams:
        """Another with the same networks and no dreams yet; see `CanTwin`."""
        other = copy.copy(self)
        other._state, other._generators = {}, []
        return other

    @property
    def dreams(self) -> Dreams:
        """The state of the dreams that it dreams now."""
        return Dreams(self._state, self._generators)

    @dreams.setter
    def dreams(self, dreams: Dreams) -> None:
        self._state, self._generators = dreams.tensors, dreams.generators

    @abstractmethod
    def _begin(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"]
    ) -> dict[str, Tensor]:
        """The state after a context, on the model's device."""

    @property
    @abstractmethod
    def slots(self) -> dict[str, Slot]:
        """The networks in which a frame's time goes, by name."""

    @abstractmethod
    def advance(self, action: Int64[Tensor, " b"], truth: UInt8[Tensor, "b h w c"] | None = None) -> Imagined:
        """Move every dream on by a frame, on the model's device; see `WorldModel.step`."""

    @torch.inference_mode()
    def step(
        self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
    ) -> Prediction:
        """Dream the next frame; see `WorldModel.step`."""
        seen = self._state.get(_SEEN)
        imagined = self.advance(action, truth)
        if self._reward_head is None or seen is None:
            return shown(imagined)
        seen = appended(seen, imagined.obs.clamp(-1.0, 1.0))
        self._state = {**self._state, _SEEN: seen}
        return shown(imagined, self._reward_head.reward(seen, action.to(self._device)))

    @torch.inference_mode()
    def reset(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"], *, seed: int
    ) -> None:
        """Start b dreams; see `WorldModel.reset`."""
        if frames.shape[1] != self.num_context_frames:
            raise ContextLengthError(
                f"reset of a {self._name} model",
                expected=f"{self.num_context_frames} context frames",
                found=f"{frames.shape[1]}",
                next_step="give as many frames as the model's `num_context_frames`",
            )
        frames = frames.to(self._device)
        self._state = self._begin(frames, actions.to(self._device))
        if self._reward_head is not None:
            self._state[_SEEN] = last_seen(frames)
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
        state, generators = self._state, self._generators
        self.reset(frames, actions, seed=seed)
        for row, generator in zip(rows.tolist(), self._generators, strict=True):
            generators[row] = generator
        at = rows.to(self._device)
        self._state = {name: whole.index_copy(0, at, self._state[name]) for name, whole in state.items()}
        self._generators = generators

    def _draw_noise(self, shape: tuple[int, ...]) -> Float32[Tensor, "b ..."]:
        """Unit noise; every dream draws its own, so the others in a batch do not change it."""
        rows = [torch.randn(shape, generator=generator) for generator in self._generators]
        return torch.stack(rows).to(self._device)


def shown(imagined: Imagined, reward: Float32[Tensor, " b"] | None = None) -> Prediction:
    """What a player sees of it, and its reward, on the CPU."""
    frame = rearrange(to_u8(imagined.obs), "b c h w -> b h w c").contiguous()
    end = None if imagined.end_logit is None else torch.sigmoid(imagined.end_logit).cpu()
    return Prediction(frame.cpu(), reward=None if reward is None else reward.cpu(), terminated=end)


def picture(frames: UInt8[Tensor, "b h w c"], device: torch.device) -> Float32[Tensor, "b c h w"]:
    """Frames as networks see them, on a device, in [-1, 1]."""
    return rearrange(to_unit(frames.to(device)), "b h w c -> b c h w")


def appended(past: Shaped[Tensor, "b t ..."], newest: Shaped[Tensor, "b ..."]) -> Shaped[Tensor, "b t ..."]:
    """A history with the newest entry added and the oldest dropped; axis 1 is time."""
    return torch.cat([past[:, 1:], newest[:, None]], dim=1)
