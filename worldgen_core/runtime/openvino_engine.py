"""Networks computed by OpenVINO, on the CPU."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import openvino as ov
import torch
from openvino.frontend.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from worldgen_core.runtime.examples import Examples


class OpenvinoNetwork(nn.Module):
    """A network compiled for batches of the examples' size; other sizes are compiled for when they come."""

    def __init__(self, network: nn.Module, examples: Examples, threads: int, *, is_bf16: bool) -> None:
        super().__init__()
        self._model = _converted(network, examples)
        self._config = _config(threads, is_bf16=is_bf16)
        self._shapes = [tuple(value.shape[1:]) for value in examples]
        self._usual_batch = len(examples[0])
        self._usual = self._compile(self._usual_batch)
        self._any: ov.InferRequest | None = None

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the network returns."""
        arrays = [np.ascontiguousarray(value.numpy()) for value in inputs]
        # Outputs are copied: the request writes the next frame into the same memory.
        results = self._request(len(arrays[0])).infer(arrays, share_inputs=True, share_outputs=False)
        values = tuple(torch.from_numpy(value) for value in results.values())
        return values[0] if len(values) == 1 else values

    def _request(self, batch: int) -> ov.InferRequest:
        if batch == self._usual_batch:
            return self._usual
        # A compiled shape is a fifth faster; players who come and go would need one for each number of them.
        self._any = self._any or self._compile(-1)
        return self._any

    def _compile(self, batch: int) -> ov.InferRequest:
        self._model.reshape(
            {index: ov.PartialShape([batch, *shape]) for index, shape in enumerate(self._shapes)}
        )
        return ov.Core().compile_model(self._model, "CPU", self._config).create_infer_request()


def _converted(network: nn.Module, examples: Examples) -> ov.Model:
    # openvino.convert_model does the same and reports it to Intel.
    frontend = FrontEndManager().load_by_framework("pytorch")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated, and what OpenVINO reads best
        decoder = TorchScriptPythonDecoder(network, example_input=examples)
        return frontend.convert(frontend.load(decoder))


def _config(threads: int, *, is_bf16: bool) -> dict[str, Any]:
    config: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if is_bf16 else "f32",
    }
    if not torch.cpu.get_capabilities().get("avx512_f", False):
        # Seen with 2026.4.1: the code that it generates for GroupNorm with AVX2 ends the process.
        config["SNIPPETS_MODE"] = "DISABLE"
    return config
