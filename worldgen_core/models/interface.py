"""The one interface behind which every world model plays: reset with context, then a frame an action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float32, Int64, UInt8
from torch import Tensor


class Prediction(NamedTuple):
    """What a model says comes next; `terminated` is a probability. None: the model does not learn it."""

    frame: UInt8[Tensor, "b h w c"]
    reward: Float32[Tensor, " b"] | None
    terminated: Float32[Tensor, " b"] | None


@runtime_checkable
class WorldModel(Protocol):
    """A dream that goes on from context frames, many at once, on the CPU's side of the interface."""

    @property
    def num_context_frames(self) -> int:
        """Frames that `reset` needs."""
        ...

    @property
    def num_actions(self) -> int:
        """Actions are 0 to this minus 1."""
        ...

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Height and width of the frames."""
        ...

    @property
    def takes_chance_from_truth(self) -> bool:
        """Whether `step` makes use of `truth`."""
        ...

    def reset(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b t-1"], *, seed: int
    ) -> None:
        """Start b dreams from `num_context_frames` frames; `actions[:, i]` leads from frame i to frame i + 1.

        Determinism: the same seed, frames and actions give the same dream, whatever else is in the batch
        order.
        Raises: ContextLengthError if the number of frames is another.
        """
        ...

    def step(
        self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
    ) -> Prediction:
        """Dream the frame that `action` leads to.

        `truth` is the true next frame: from it only what the game draws at random may be taken, never where
        the player is. Without it the model draws chance itself.
        """
        ...


@runtime_checkable
class CanRestart(Protocol):
    """A world model that can start some of its dreams anew while the others go on undisturbed."""

    def restart(
        self,
        rows: Int64[Tensor, " r"],
        frames: UInt8[Tensor, "r t h w c"],
        actions: Int64[Tensor, "r past"],
        *,
        seed: int,
    ) -> None:
        """Do for the given rows of the batch what `WorldModel.reset` does for all."""
        ...


@runtime_checkable
class CanTwin(Protocol):
    """A world model of which several can dream apart while the networks are in memory once."""

    def twin(self) -> WorldModel:
        """Another with the same networks; it must be reset before its first step."""
        ...


@runtime_checkable
class CanChangeSteps(Protocol):
    """A world model that draws a frame in sampler steps, and in another number of them if asked."""

    @property
    def num_steps(self) -> Mapping[str, int]:
        """Sampler steps a frame, by part: "denoiser", "upsampler"."""
        ...

    def with_steps(self, num_steps: Mapping[str, int]) -> CanTwin:
        """A twin that draws every part of `num_steps` in so many steps; parts not named keep theirs."""
        ...
