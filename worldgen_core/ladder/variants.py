"""Opens a trained model to be played otherwise than its card says: other steps, another precision.

Reduced precision is played by rounding every result inside the networks to it. That is what a device that
multiplies such numbers stores, at the speed of float32 everywhere; overflow becomes infinite as it would
there. Sums inside an operation are float32's, as on such devices.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from worldgen_core.device import choose_device
from worldgen_core.errors import ConfigError
from worldgen_core.ladder.settings import NumberName, Played
from worldgen_core.models.card import ModelCard, read_card
from worldgen_core.models.catalogue import MODEL_MODULES
from worldgen_core.models.dreams import TensorDreams
from worldgen_core.models.interface import WorldModel
from worldgen_core.models.played_unet import PlayedUnet
from worldgen_core.names import DeviceName
from worldgen_core.overrides import deep_merge

_DTYPES: dict[NumberName, torch.dtype] = {"bf16": torch.bfloat16, "float16": torch.float16}


def open_played(folder: Path, played: Played, device: DeviceName = "cpu") -> WorldModel:
    """Open the model in `folder` as it is to be played.

    Raises: CheckpointError for a damaged model; ConfigError if it is another architecture, or has no network
    whose precision could be lowered.
    """
    card = read_card(folder)
    if card.model != played.model:
        raise ConfigError(
            f"{folder}: model",
            expected=repr(played.model),
            found=repr(card.model),
            next_step="name a folder of that architecture",
        )
    settings = deep_merge(card.settings, played.changes)
    changed = ModelCard.model_validate({**card.model_dump(), "settings": settings})
    name = choose_device(device).type
    model: WorldModel = importlib.import_module(MODEL_MODULES[card.model]).load(folder, changed, name)
    if played.precision != "float32":
        _round(model, _DTYPES[played.precision], played)
    return model


def _round(model: WorldModel, dtype: torch.dtype, played: Played) -> None:
    networks = list(_networks(model))
    if not networks:
        raise ConfigError(
            f"{played.model} in {played.precision}",
            expected="a model whose frames are made by networks alone",
            found="one that has none to round",
            next_step="play it in float32",
        )
    for network in networks:
        for value in [*network.parameters(), *network.buffers()]:
            value.data = value.data.to(dtype).to(value.dtype)
        RoundResults(dtype).surround(network)


def _networks(model: WorldModel) -> Iterator[nn.Module]:
    """The networks of a model as it calls them: its slots', and U-Nets with what conditions them."""
    if not isinstance(model, TensorDreams):
        return
    for slot in model.slots.values():
        yield slot.network
    for value in vars(model).values():
        if isinstance(value, PlayedUnet):
            yield value


class RoundResults(TorchDispatchMode):
    """Rounds what every operation inside it returns to a shorter kind of float, kept as float32."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def surround(self, network: nn.Module) -> None:
        """Round whatever happens inside `network` from now on."""

        def begin(_module: nn.Module, _args: object) -> None:
            self.__enter__()

        def end(_module: nn.Module, _args: object, _output: object) -> None:
            self.__exit__(None, None, None)

        network.register_forward_pre_hook(begin)
        network.register_forward_hook(end, always_call=True)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation and round what it made; views of what was rounded before stay views."""
        result = func(*args, **(kwargs or {}))
        return result if getattr(func, "is_view", False) else tree_map_only(Tensor, self._rounded, result)

    def _rounded(self, value: Tensor) -> Tensor:
        if value.dtype != torch.float32:
            return value
        return value.copy_(value.to(self._dtype))
