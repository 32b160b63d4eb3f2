"""What is known of a model's size; plain records, so that showing them needs no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, computed_field

from worldgen_core.names import ModelName, ProfileName


class PartSize(BaseModel):
    """One network of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What the part is called."""
    num_parameters: int
    """Weights that training changes."""
    num_evaluations: int
    """How often a frame of the dream runs it; 0 for what only the start of a dream, or training, needs."""
    flops_per_evaluation: int
    """Of one run with a batch of one; a multiplication and an addition count as two."""
    published_parameters: int | None
    """What its authors count; None where nobody published a count for this size and these actions."""


class ModelSize(BaseModel):
    """One model at one profile, for one size of frames and one number of actions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelName
    """Which architecture."""
    profile: ProfileName
    """Which of its sizes."""
    num_actions: int
    """Actions the player may choose from."""
    height: int
    """Of a frame, in pixels."""
    width: int
    """Of a frame, in pixels."""
    parts: tuple[PartSize, ...]
    """Its networks, in the order in which a frame runs them."""
    weights_bytes: int
    """All weights and buffers as float32."""
    activation_bytes: int
    """Most that is alive at once beside the weights while one frame is made, as float32."""

    @computed_field
    @property
    def num_parameters(self) -> int:
        """Of all parts."""
        return sum(part.num_parameters for part in self.parts)

    @computed_field
    @property
    def flops_per_frame(self) -> int:
        """Of all evaluations that one frame takes."""
        return sum(part.num_evaluations * part.flops_per_evaluation for part in self.parts)

    @computed_field
    @property
    def memory_bytes(self) -> int:
        """Weights and activations together."""
        return self.weights_bytes + self.activation_bytes
