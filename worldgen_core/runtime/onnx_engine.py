"""Networks computed by ONNX Runtime, on the CPU."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch
from torch import Tensor, nn

from worldgen_core.runtime.examples import Examples


class OnnxNetwork(nn.Module):
    """A network exported with a free batch size."""

    def __init__(self, network: nn.Module, examples: Examples, threads: int) -> None:
        super().__init__()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        with tempfile.TemporaryDirectory(prefix="worldgen-onnx-") as folder:
            path = export_onnx(network, examples, Path(folder) / "network.onnx")
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = [entry.name for entry in self._session.get_inputs()]

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the network returns."""
        feed = {name: value.numpy() for name, value in zip(self._names, inputs, strict=True)}
        values = tuple(torch.from_numpy(value) for value in self._session.run(None, feed))
        return values[0] if len(values) == 1 else values


def export_onnx(network: nn.Module, examples: Examples, path: Path) -> Path:
    """Write a network as ONNX, and return the path; weights above 2 GB lie beside it."""
    # The exporter takes an axis of length 1 for a constant.
    twice = tuple(torch.cat([value, value]) for value in examples)
    free = tuple({0: torch.export.Dim.DYNAMIC} for _ in twice)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which nothing here uses
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts
        program = torch.onnx.export(network, twice, dynamo=True, dynamic_shapes=free, verbose=False)
    assert program is not None
    program.save(path)
    return path
