"""Random clips of 8 frames from every storage format, on the same Flappy frames, in one run.

    python benchmarks/bench_storage.py [--json build/bench-storage.json] [--episodes 4] [--frames 400]
    [--clips 300]

Paired: each clip is read through every format, one after the other in a new random order, and a ratio is the
median over clips of (their time / our time) on the same clip. Times are CPU seconds of the whole process, so
that other work on the machine does not count; files are warm in the page cache; one thread. Formats that must
open a whole episode are tried on every tenth clip. Limits that are missed are printed as such.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from flappy_frames import store_raw
from machine import describe_machine
from storage_formats import Contender, ReadFrames, contenders

SIZES = {"128x72": (128, 72), "320x240": (320, 240)}
CLIP_LENGTH = 8
LIMITS = {
    "speed_vs_best_lossless": 1.2,
    "speed_vs_png": 4.0,
    "bytes_vs_png_opencv": 0.3,
    "bytes_vs_png_pillow": 0.3,
}


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description="Random clips from every storage format.")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--clips", type=int, default=300)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    report: dict[str, Any] = {"machine": describe_machine("storage", "benchmarks"), "sizes": {}}
    print(" | ".join(f"{key} {value}" for key, value in report["machine"].items()))
    with tempfile.TemporaryDirectory(prefix="bench-storage-") as temporary:
        folder = Path(temporary)
        store_raw(folder, SIZES, options.episodes, options.frames, seed=0)
        for size in SIZES:
            report["sizes"][size] = measure(folder / size, options.episodes, options.clips)
            print_table(size, report["sizes"][size])
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def measure(folder: Path, num_episodes: int, num_clips: int) -> dict[str, Any]:
    """Write every format from the raw frames in `folder`, then time random clips."""
    frames = [np.load(folder / f"frames-{i}.npy", mmap_mode="r") for i in range(num_episodes)]
    action = [np.load(folder / f"action-{i}.npy") for i in range(num_episodes)]
    formats = contenders()
    readers: dict[str, ReadFrames] = {}
    num_bytes: dict[str, int] = {}
    for number, contender in enumerate(formats):
        target = folder / f"format-{number}"
        target.mkdir()
        contender.write(target, frames, action)
        num_bytes[contender.name] = sum(path.stat().st_size for path in target.iterdir())
        readers[contender.name] = contender.open(target)
    times = time_clips(formats, readers, frames, num_clips)
    num_frames = sum(map(len, frames))
    rows = summarise(formats, times, num_bytes, num_frames)
    return {"num_frames": num_frames, "clip_length": CLIP_LENGTH, "rows": rows, "checks": check_limits(rows)}


def time_clips(
    formats: list[Contender], readers: dict[str, ReadFrames], frames: list[np.ndarray], num_clips: int
) -> dict[str, dict[int, float]]:
    """CPU seconds for each clip number, by format; every clip is compared with the raw frames."""
    rng = np.random.default_rng(0)
    times: dict[str, dict[int, float]] = {contender.name: {} for contender in formats}
    for number in range(-10, num_clips):  # the negative ones warm up
        episode = int(rng.integers(len(frames)))
        start = int(rng.integers(len(frames[episode]) - CLIP_LENGTH + 1))
        expected = frames[episode][start : start + CLIP_LENGTH]
        for position in rng.permutation(len(formats)):
            contender = formats[position]
            if contender.is_slow and number % 10:
                continue
            begin = time.process_time()
            clip = readers[contender.name](episode, start, CLIP_LENGTH)
            elapsed = time.process_time() - begin
            if not np.array_equal(clip, expected):
                raise SystemExit(f"{contender.name} returned other frames")
            if number >= 0:
                times[contender.name][number] = elapsed
    return times


def summarise(
    formats: list[Contender], times: dict[str, dict[int, float]], num_bytes: dict[str, int], num_frames: int
) -> list[dict[str, Any]]:
    """One row a format: median CPU time of a clip, bytes a frame, and the paired ratio to ours."""
    ours = times[formats[0].name]
    return [
        {
            "name": contender.name,
            "kind": contender.kind,
            "clip_cpu_ms": statistics.median(times[contender.name].values()) * 1e3,
            "bytes_per_frame": num_bytes[contender.name] / num_frames,
            "times_slower_than_ours": statistics.median(
                elapsed / ours[number] for number, elapsed in times[contender.name].items()
            ),
        }
        for contender in formats
    ]


def check_limits(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the project promises: speed against the best lossless format and PNG, bytes against PNG."""
    opencv, pillow = (row for row in rows if row["kind"] == "png")
    best = min(row["times_slower_than_ours"] for row in rows if row["kind"] in ("lossless", "png"))
    values = {
        "speed_vs_best_lossless": best,
        "speed_vs_png": min(opencv["times_slower_than_ours"], pillow["times_slower_than_ours"]),
        "bytes_vs_png_opencv": rows[0]["bytes_per_frame"] / opencv["bytes_per_frame"],
        "bytes_vs_png_pillow": rows[0]["bytes_per_frame"] / pillow["bytes_per_frame"],
    }
    return [
        {
            "name": name,
            "value": values[name],
            "limit": limit,
            "passed": values[name] <= limit if name.startswith("bytes") else values[name] >= limit,
        }
        for name, limit in LIMITS.items()
    ]


def print_table(size: str, result: dict[str, Any]) -> None:
    """Show one size's rows and checks."""
    print(f"\n{size} Flappy frames, {result['num_frames']} of them, random clips of {result['clip_length']}")
    print(f"{'format':48} {'cpu-ms':>8} {'bytes/frame':>12} {'x ours':>8}")
    for row in result["rows"]:
        figures = (
            f"{row['clip_cpu_ms']:8.3f} {row['bytes_per_frame']:12.0f} {row['times_slower_than_ours']:8.2f}"
        )
        print(f"{row['name']:48} {figures}")
    for check in result["checks"]:
        relation = "<=" if check["name"].startswith("bytes") else ">="
        verdict = "ok" if check["passed"] else "MISSED"
        print(f"  {check['name']} {check['value']:.2f} (limit {relation} {check['limit']}): {verdict}")


if __name__ == "__main__":
    main()
