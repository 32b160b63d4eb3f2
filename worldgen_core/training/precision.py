"""How precisely the products of a training are computed: autocast, and for float16 the scaling of the loss.

float16 holds nothing below 6e-8, so small gradients would vanish: the loss is multiplied by a large factor
and the gradients divided by it. A step whose gradients overflow is left out and the factor halved
(Micikevicius et al. 2018, arXiv:1710.03740). The factor is part of the training's state.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldgen_core.device import choose_precision
from worldgen_core.errors import ConfigError, DivergenceError
from worldgen_core.names import PrecisionName
from worldgen_core.training.optimizers import MuonAdamW

_DTYPES = {"bf16": torch.bfloat16, "float16": torch.float16}


class Precision:
    """The precision of one training on one device."""

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        """Raises: ConfigError for float16 on anything but CUDA."""
        self._device, self._dtype = device, _DTYPES.get(choose_precision(name, device))
        is_scaled = self._dtype is torch.float16
        if is_scaled and device.type != "cuda":
            raise ConfigError(
                "loop.precision",
                expected=f"auto, bf16 or float32 on the device {device.type}",
                found="float16, which trains on CUDA only",
                next_step="leave it at auto, or train on a CUDA device",
            )
        self.scaler = LossScaler(device.type) if is_scaled else None

    def autocast(self) -> torch.autocast:
        """The block in which products are computed at this precision."""
        return torch.autocast(
            self._device.type, self._dtype or torch.bfloat16, enabled=self._dtype is not None
        )


class LossScaler:
    """Scales the loss, and leaves out steps whose gradients overflow."""

    def __init__(self, device: str, *, initial_scale: float = 2.0**16) -> None:
        self._scaler = torch.amp.GradScaler(device, init_scale=initial_scale)

    @property
    def scale(self) -> float:
        """The present factor."""
        return self._scaler.get_scale()

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss as it is to be differentiated."""
        return self._scaler.scale(loss)

    def unscale(self, optimizer: MuonAdamW) -> None:
        """Divide the gradients by the factor, before they are clipped."""
        self._scaler.unscale_(optimizer)  # pyright: ignore[reportArgumentType]  # only its param_groups are used

    def step(self, optimizer: MuonAdamW, train_step: int, rate_scale: float) -> None:
        """Apply the gradients unless one of them overflowed, and adapt the factor.

        Raises: DivergenceError if they overflow although the factor is below 1.
        """
        self._scaler.step(optimizer, train_step, rate_scale)  # pyright: ignore[reportArgumentType]  # as above
        self._scaler.update()
        if self.scale < 1:
            raise DivergenceError(
                f"training step {train_step}: gradient in float16",
                expected="finite gradients at some scale of the loss",
                found=f"overflows down to a scale of {self.scale:g}",
                next_step="lower the learning rate, or set loop.precision to bf16 or float32",
            )

    def state(self) -> dict[str, Any]:
        """JSON values that `restore` takes back."""
        return self._scaler.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._scaler.load_state_dict(state)
