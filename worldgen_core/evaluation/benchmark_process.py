"""What the benchmark stage runs in a process of its own: `… MODEL_FOLDER SETTINGS_JSON RESULT_FILE`."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from worldgen_core.evaluation.settings import BenchmarkSettings
from worldgen_core.models.interface import WorldModel
from worldgen_core.runtime.open import open_fast


def main(model_folder: str, settings_json: str, result_file: str) -> None:
    """Measure and write the timings as JSON."""
    settings = BenchmarkSettings.model_validate_json(settings_json)
    torch.set_num_threads(settings.num_threads)
    before_bytes = peak_memory_bytes()
    started_s = time.perf_counter()
    fast = open_fast(
        Path(model_folder), settings.device, backend=settings.backend, threads=settings.num_threads
    )
    model = fast.model
    load_s = time.perf_counter() - started_s
    cpu_started_s = time.process_time()
    latencies_s = measure_latencies(model, settings)
    num_frames = settings.num_warmup_frames + latencies_s.size
    timings = summary(latencies_s) | {
        # What a frame costs even when other programs take the core away between frames.
        "cpu_ms_per_frame": round(1000 * (time.process_time() - cpu_started_s) / num_frames, 2),
        "backend": fast.backend,
        "load_s": round(load_s, 3),
        "peak_memory_mb": round(peak_memory_bytes() / 1e6, 1),
        "memory_before_model_mb": round(before_bytes / 1e6, 1),
    }
    if settings.device == "cuda":
        timings["peak_device_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    Path(result_file).write_text(json.dumps(timings), encoding="utf-8")


def measure_latencies(
    model: WorldModel, settings: BenchmarkSettings
) -> Float64[np.ndarray, "repeats frames"]:
    """Seconds from key press to picture for every frame of a dream; what it shows does not matter."""
    height, width = model.frame_shape
    generator = torch.Generator().manual_seed(0)
    shape = (1, model.num_context_frames, height, width, 3)
    frames = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    model.reset(frames, torch.zeros(1, model.num_context_frames - 1, dtype=torch.int64), seed=0)
    action = torch.randint(0, model.num_actions, (settings.num_frames,), generator=generator)
    for i in range(settings.num_warmup_frames):
        model.step(action[i % settings.num_frames][None])
    latencies = np.zeros((settings.num_repeats, settings.num_frames))
    for repeat in range(settings.num_repeats):
        for i in range(settings.num_frames):
            started_s = time.perf_counter()
            model.step(action[i][None])
            latencies[repeat, i] = time.perf_counter() - started_s
    return latencies


def summary(latencies_s: Float64[np.ndarray, "repeats frames"]) -> dict[str, Any]:
    """Frames a second of the median repeat, and of the slowest; latency at the median and at 95 %."""
    frames_per_s = latencies_s.shape[1] / latencies_s.sum(axis=1)
    p50, p95 = np.percentile(latencies_s, [50, 95]) * 1000
    return {
        "frames_per_s": round(float(np.median(frames_per_s)), 1),
        "frames_per_s_slowest": round(float(frames_per_s.min()), 1),
        "latency_ms_p50": round(float(p50), 2),
        "latency_ms_p95": round(float(p95), 2),
    }


def peak_memory_bytes() -> int:
    """The most memory this process ever held."""
    if sys.platform == "linux":
        # What getrusage tells there is at least what the process that started this one held.
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts in bytes


if __name__ == "__main__":
    main(*sys.argv[1:])
