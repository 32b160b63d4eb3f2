"""What a decoder minimises: absolute error of its pictures, most where something moves.

Compared with the true frames of a dataset; a light decoder also with what its teacher makes of latents that
are a little off, as those of a dream are, and of which no true frame is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from worldgen_core.rows import among, normal, row_share, rows_of, take_part
from worldgen_core.training.autoencoder_objective import inner_convolutions, to_channels

Decode = Callable[[Tensor], Tensor]


class FrameLatents(NamedTuple):
    """Frames and their latents as the autoencoder makes them."""

    frames: UInt8[Tensor, "b h w 3"]
    z: Float32[Tensor, "b c h_z w_z"]


class Foreground(NamedTuple):
    """Which pixels count more, and by how much; see `DecoderTrainingSettings`."""

    median: Float32[Tensor, "3 h w"]
    weight: float
    level: float

    def error(
        self, shown: Float32[Tensor, "b 3 h w"], wanted: Float32[Tensor, "b 3 h w"]
    ) -> Float32[Tensor, ""]:
        """Mean absolute error, weighted by whether a pixel of `wanted` is foreground."""
        is_foreground = (wanted - self.median).abs().amax(dim=1, keepdim=True) > self.level
        return ((shown - wanted).abs() * (1 + self.weight * is_foreground)).mean()


class Teacher(NamedTuple):
    """Whom a light decoder learns from; see `DistilDecoderSettings`."""

    decode: Decode
    weight: float
    num_frames: int
    noise: Float32[Tensor, "c 1 1"]
    """Deviation of the noise, by channel of the latents."""


class DecoderObjective:
    """The loss of the decoder `decode` with the weights of `module`; `batches` gives those of a step."""

    def __init__(
        self,
        module: nn.Module,
        decode: Decode,
        foreground: Foreground,
        batches: Callable[[int], FrameLatents],
        teacher: Teacher | None = None,
    ) -> None:
        self.module = module
        self.matrices = inner_convolutions(module)
        self._decode = decode
        self._foreground = foreground
        self._batches = batches
        self._teacher = teacher

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Decode this step's latents and compare with their frames and with the teacher."""
        batch, device = take_part(self._batches(train_step), generator), self._foreground.median.device
        obs, z = to_channels(batch.frames, device), batch.z.to(device)
        picture = row_share(generator) * self._foreground.error(self._decode(z), obs)
        if self._teacher is None:
            return {"loss": picture, "picture": picture.detach()}
        told = self._imitate(self._teacher, z, generator)
        weight = self._teacher.weight
        return {
            "loss": (1 - weight) * picture + weight * told,
            "picture": picture.detach(),
            "teacher": told.detach(),
        }

    def _imitate(self, teacher: Teacher, z: Tensor, generator: torch.Generator) -> Tensor:
        """The error on the first frames of the whole batch, of which some may be this part's."""
        rows, num_rows = rows_of(len(z), generator)
        asked = min(teacher.num_frames, num_rows)
        own = rows[rows < asked]
        if not len(own):
            return z.new_zeros(())
        z = z[: len(own)]
        with among(own, asked, generator):
            z = z + teacher.noise * normal(z.shape, generator).to(z.device)
        with torch.no_grad():
            wanted = teacher.decode(z).clamp(-1, 1)
        return len(own) / asked * self._foreground.error(self._decode(z), wanted)
