"""A conditional U-Net at play: what noise levels and actions do to its blocks is remembered, not recomputed.

The conditioning layers are most of the weights of the published sizes, and with discrete actions and a fixed
schedule they are asked the same few questions for ever: a level of noise, and the last actions. The answers
are exact. What is left, `UnetBody`, takes tensors and returns a tensor: a faster runtime can take its place.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from worldgen_core.models.inner_unet import InnerUnet, stacked

MAX_REMEMBERED_BYTES = 64 * 2**20
"""Nine actions in four frames make thousands of answers, 73 kB each at the published size: old ones go."""

Question = tuple[float, float, tuple[int, ...]]
"""Noise level, level of the context's noise, last actions."""


class UnetBody(nn.Module):
    """From pictures and ready modulations to the raw output."""

    def __init__(self, unet: InnerUnet) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self, pictures: Float[Tensor, "b c h w"], modulations: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b c_out h w"]:
        """Return `InnerUnet.body` of the inputs."""
        return self.unet.body(pictures, modulations)


class PlayedUnet(nn.Module):
    """Stands in for an `InnerUnet` whose weights no longer change; same call, same result to 1e-6."""

    def __init__(self, unet: InnerUnet) -> None:
        super().__init__()
        self.unet = unet
        self.body: nn.Module = UnetBody(unet)
        self._remembered: OrderedDict[Question, Float32[Tensor, " m"]] = OrderedDict()

    def forward(
        self,
        x: Float32[Tensor, "b c h w"],
        c_noise: Float32[Tensor, " b"],
        c_noise_context: Float32[Tensor, " b"],
        prev_obs: Float32[Tensor, "b t_and_guides c h w"],
        prev_act: Int64[Tensor, "b t"] | None,
    ) -> Float32[Tensor, "b c h w"]:
        """Return F(x); see `InnerUnet.forward`."""
        modulations = self.modulations(c_noise, c_noise_context, prev_act)
        return self.body(stacked(prev_obs, x), modulations).float()

    def modulations(
        self,
        c_noise: Float32[Tensor, " b"],
        c_noise_context: Float32[Tensor, " b"],
        prev_act: Int64[Tensor, "b t"] | None,
    ) -> Float32[Tensor, "b m"]:
        """Return `InnerUnet.modulations`, each row computed alone and once."""
        acts = [()] * len(c_noise) if prev_act is None else [tuple(row) for row in prev_act.tolist()]
        questions = zip(c_noise.tolist(), c_noise_context.tolist(), acts, strict=True)
        rows = [
            self._answer(
                question, c_noise[row : row + 1], c_noise_context[row : row + 1], _row(prev_act, row)
            )
            for row, question in enumerate(questions)
        ]
        return torch.stack(rows)

    def _answer(self, question: Question, *asked: Any) -> Float32[Tensor, " m"]:
        if question not in self._remembered:
            answer = self.unet.modulations(*asked)[0]
            while len(self._remembered) >= max(1, MAX_REMEMBERED_BYTES // answer.nbytes):
                self._remembered.popitem(last=False)
            self._remembered[question] = answer
        self._remembered.move_to_end(question)
        return self._remembered[question]


def _row(values: Tensor | None, row: int) -> Tensor | None:
    return None if values is None else values[row : row + 1]
