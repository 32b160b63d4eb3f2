"""What the `direct` model minimises: squared error of its own dream, termination, and cheap chance.

A batch of windows is dreamt for `unroll` frames with gradients through the model's own predictions. The
error counts more where something is not background and most around what the last frame, scrolled as usual,
does not tell: weighing all change alike let a player who hardly moves, at the top of a jump, drift off
(measured: twice the error after 64 frames). Around it, and not on it: a weight of just the pixels that turned
out to change makes an uncertain motion look longer than it is, and the player sank by 0.1 pixels a frame.
Chance is taken from the true next frame by the encoder; what it tells beyond the prior costs `chance_weight`
a nat, and the prior learns to predict it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.batch import ClipBatch
from worldgen_core.models.blocks import space_to_depth
from worldgen_core.models.direct_network import DirectNetwork
from worldgen_core.models.end_head import end_loss
from worldgen_core.ranges import to_unit
from worldgen_core.rows import normal, take_part, uniform
from worldgen_core.training.chance_loss import tell


class DirectLossSettings(BaseModel):
    """Weights of the parts of the loss."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    foreground_weight: float = Field(default=4.0, ge=0)
    """Extra weight of pixels that differ from the background by more than `foreground_level`."""
    foreground_level: float = Field(default=0.1, ge=0)
    """In units of [-1, 1]."""
    change_weight: float = Field(default=20.0, ge=0)
    """Extra weight per unit of the largest difference, in a cell and its neighbours, between a true frame
    and the scrolled one before it."""
    end_weight: float = Field(default=0.5, ge=0)
    """Weight of the termination head's cross-entropy."""
    death_weight: float = Field(default=3.0, gt=0)
    """How much more a frame that ends a life counts there than one that does not."""
    chance_weight: float = Field(default=1e-4, ge=0)
    """Price of a nat of chance that the prior did not expect."""
    prior_weight: float = Field(default=1e-3, ge=0)
    """Weight of the prior's own fit; it sees the chance only through a stopped gradient."""
    context_noise: float = Field(default=0.1, ge=0)
    """Largest standard deviation of the noise on the context frames, drawn per window, for dreams of one
    frame; it falls with the square root of their length, as longer dreams bring errors of their own."""


class DirectObjective:
    """The loss of the direct model; `batches` is a pure function of the training step."""

    def __init__(
        self, network: DirectNetwork, settings: DirectLossSettings, batches: Callable[[int], ClipBatch]
    ) -> None:
        self.module: nn.Module = network
        self.matrices = network.inner_matrices()
        self._network = network
        self._settings = settings
        self._batches = batches

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Dream this step's batch and return the loss and its parts."""
        whole = self._batches(train_step)
        batch = take_part(whole, generator)
        net, arch = self._network, self._network.arch
        device = net.background.device
        obs = to_unit(batch.obs.to(device)).permute(0, 1, 4, 2, 3)
        act, end, mask = batch.act.to(device), batch.end.to(device).float(), batch.mask.to(device).float()
        cells = [space_to_depth(obs[:, t], arch.block) - net.background for t in range(obs.shape[1])]
        first = arch.num_context_frames
        noise = self._settings.context_noise / math.sqrt(len(cells) - first)
        context = self._noisy(cells[:first], noise, generator)
        memory = net.start_memory(len(obs))
        parts: dict[str, list[Tensor]] = {"picture": [], "end": [], "chance": [], "prior": []}
        for t in range(first, len(cells)):
            chance = self._chance(context[-1], cells[t], generator, parts)
            out = net(context, act[:, t - first : t], chance, memory)
            parts["picture"].append(self._picture_loss(out.cells, cells[t], net.scrolled(cells[t - 1])))
            parts["end"].append(end_loss(out.end_logit, end[:, t], self._settings.death_weight))
            context, memory = [*context[1:], out.cells], out.memory
        # Of the whole batch: a part with fewer frames that count must count less.
        seen = mask[:, first:].T / whole.mask[:, first:].sum().to(device)
        return self._total({name: (torch.stack(values) * seen).sum() for name, values in parts.items()})

    def _noisy(self, context: list[Tensor], noise: float, generator: torch.Generator) -> list[Tensor]:
        level = uniform((len(context[0]), 1, 1, 1), generator) * noise
        noisy: list[Tensor] = []
        for cells in context:
            drawn = normal(cells.shape, generator) * level
            noisy.append(cells + drawn.to(cells.device).contiguous(memory_format=torch.channels_last))
        return noisy

    def _chance(
        self, last: Tensor, target: Tensor, generator: torch.Generator, parts: dict[str, list[Tensor]]
    ) -> Tensor:
        told = tell(self._network.encoder, self._network.prior, last, target, generator)
        parts["chance"].append(told.price)
        parts["prior"].append(told.surprise)
        return told.chance

    def _picture_loss(self, predicted: Tensor, target: Tensor, expected: Tensor) -> Tensor:
        settings = self._settings
        change = (target - expected).abs().amax(1, keepdim=True)
        weight = 1.0 + settings.change_weight * functional.max_pool2d(change, 3, stride=1, padding=1)
        weight = weight + settings.foreground_weight * (target.abs() > settings.foreground_level)
        return (weight * (predicted - target).square()).mean(dim=(1, 2, 3))

    def _total(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        settings = self._settings
        loss = (
            parts["picture"]
            + settings.end_weight * parts["end"]
            + settings.chance_weight * parts["chance"]
            + settings.prior_weight * parts["prior"]
        )
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}
