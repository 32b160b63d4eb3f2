"""Our decoding against OpenCV's on the same generated 720p H.264 file; seeks; memory; all in one run.

    python benchmarks/bench_video.py [--json FILE] [--frames 600] [--rounds 11] [--seeks 200]

Speed: every frame to 320x240 RGB, ours (decoding process, pipe and all, with both processes on one core) and
OpenCV's VideoCapture with resize(INTER_AREA), which keeps BGR. One thread each; alternately, several rounds;
the ratio is the median over the rounds. It is taken twice, and the limit holds for both: of the time on the
clock, which is what a user sees, and of CPU seconds (parent and child together), since on a busy machine two
processes may get a larger share of a core than one. Starting the decoding process is in neither: one serves
many videos. Files are warm in the page cache.

Seeks: the number drawn in the picture against the index asked for, at a constant and a variable frame rate.
Memory: peak resident memory of parent and child for a video and for one four times as long.
"""

from __future__ import annotations

import os

os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "threads;1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from machine import describe_machine
from numbered_video import read_number, write_numbered_video

from worldgen_core.video.decoding import VideoReader, decode
from worldgen_core.video.limit_settings import DecodeLimits
from worldgen_core.video.probing import probe
from worldgen_core.video.records import VideoFacts
from worldgen_core.video.worker import DecodeWorker

SIZE = (240, 320)
SPEED_LIMIT = 1.4
MEMORY_LIMIT = 1.05


def main() -> None:
    """Run the benchmark and print what was met."""
    parser = argparse.ArgumentParser(description="Decoding, seeking and memory of our video path.")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seeks", type=int, default=200)
    parser.add_argument("--measure-memory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_memory:
        print(json.dumps(decode_and_measure(options.measure_memory)))
        return
    cv2.setNumThreads(1)
    machine = describe_machine("worldgen_core/video", "benchmarks") | {"opencv": cv2.__version__}
    report: dict[str, Any] = {"machine": machine}
    print(" | ".join(f"{key} {value}" for key, value in report["machine"].items()))
    with tempfile.TemporaryDirectory(prefix="bench-video-") as temporary:
        folder = Path(temporary)
        constant, variable, long = (folder / f"{name}.mp4" for name in ("constant", "variable", "long"))
        write_numbered_video(constant, options.frames, is_variable=False)
        write_numbered_video(variable, options.frames, is_variable=True)
        write_numbered_video(long, options.frames * 4, is_variable=False)
        report["one_core"] = on_one_core(lambda: compare_speed(constant, options.rounds))
        report["wrong_of_seeks"] = {
            path.stem: count_wrong_seeks(probe(path), options.seeks) for path in (constant, variable)
        }
        report["memory"] = compare_memory(constant, long)
        report["all_cores"] = compare_all_cores(constant, max(3, options.rounds // 2))
    report["checks"] = checks(report, options.seeks)
    print_report(report, options)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")


# Speed


def on_one_core(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run with this process, and those it starts, bound to the core that is least busy now."""
    if not hasattr(os, "sched_setaffinity"):
        return work()
    cores = os.sched_getaffinity(0)
    busy = psutil.cpu_percent(1.0, percpu=True)
    os.sched_setaffinity(0, {min(cores, key=lambda core: busy[core])})
    try:
        return work()
    finally:
        os.sched_setaffinity(0, cores)


def compare_speed(path: Path, num_rounds: int, num_threads: int = 1) -> dict[str, Any]:
    """Frames a second and paired ratios of every frame to 320x240."""
    facts = probe(path)
    wall: dict[str, list[float]] = {"ours": [], "opencv": []}
    cpu: dict[str, list[float]] = {"ours": [], "opencv": []}
    with DecodeWorker() as worker:
        ways = {
            "ours": lambda: decode_with_ours(facts, worker, num_threads),
            "opencv": lambda: decode_with_opencv(path),
        }
        for number in range(-1, num_rounds):  # the first warms up
            names = list(ways) if number % 2 else list(ways)[::-1]
            for name in names:
                wall_s, cpu_s = timed(ways[name], worker)
                if number >= 0:
                    wall[name].append(wall_s)
                    cpu[name].append(cpu_s)
    return {
        "frames_per_s": {name: facts.num_demuxed / statistics.median(times) for name, times in wall.items()},
        "frames_per_cpu_s": {
            name: facts.num_demuxed / statistics.median(times) for name, times in cpu.items()
        },
        "ratio": paired_ratio(wall),
        "cpu_ratio": paired_ratio(cpu),
    }


def paired_ratio(times: dict[str, list[float]]) -> float:
    """The median over the rounds of their time by our time."""
    return statistics.median(
        theirs / ours for theirs, ours in zip(times["opencv"], times["ours"], strict=True)
    )


def timed(way: Callable[[], None], worker: DecodeWorker) -> tuple[float, float]:
    """Seconds on the clock, and CPU seconds of this process and the decoding one."""
    before_s = cpu_seconds(worker)
    started_s = time.perf_counter()
    way()
    return time.perf_counter() - started_s, cpu_seconds(worker) - before_s


def cpu_seconds(worker: DecodeWorker) -> float:
    """CPU seconds so far; a decoding process that has not started yet has used none."""
    child = psutil.Process(worker.process_id).cpu_times() if worker.process_id else None
    return time.process_time() + (child.user + child.system if child else 0.0)


def decode_with_ours(facts: VideoFacts, worker: DecodeWorker, num_threads: int = 1) -> None:
    """Every frame through the decoding process."""
    indices = np.arange(facts.num_demuxed)
    count = sum(1 for _ in decode(facts, indices, SIZE, worker=worker, num_threads=num_threads))
    if count != facts.num_demuxed:
        raise SystemExit(f"ours gave {count} of {facts.num_demuxed} frames")


def decode_with_opencv(path: Path) -> None:
    """Every frame through VideoCapture and resize."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    while True:
        is_there, frame = capture.read()
        if not is_there:
            return
        cv2.resize(frame, SIZE[::-1], interpolation=cv2.INTER_AREA)


def compare_all_cores(path: Path, num_rounds: int) -> dict[str, Any]:
    """The same with as many threads as there are cores on both sides."""
    num_threads = os.cpu_count() or 1
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"threads;{num_threads}"
    cv2.setNumThreads(num_threads)
    return compare_speed(path, num_rounds, num_threads)


# Seeks


def count_wrong_seeks(facts: VideoFacts, num_seeks: int) -> int:
    """How many random frames are not the one that was asked for, by the number drawn in the picture."""
    indices = np.random.default_rng(0).integers(0, facts.num_demuxed, num_seeks).tolist()
    with VideoReader(facts, SIZE) as reader:
        return sum(read_number(reader.frame(index).frame) != index for index in indices)


# Memory


def compare_memory(short: Path, long: Path) -> dict[str, float]:
    """Peak resident megabytes of both processes, measured in a process of its own for each length."""
    peaks: dict[str, float] = {}
    for name, path in (("short", short), ("long", long)):
        command = [sys.executable, __file__, "--measure-memory", str(path)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peaks |= {f"{name}_{who}_mb": peak for who, peak in json.loads(output).items()}
    return peaks


def decode_and_measure(path: Path) -> dict[str, float]:
    """Peak resident megabytes of this process and of the decoding one after a whole video."""
    facts = probe(path)
    child_peak = 0
    with DecodeWorker(DecodeLimits()) as worker:
        for picture in decode(facts, np.arange(facts.num_demuxed), SIZE, worker=worker):
            if picture.index % 50 == 0 and worker.process_id:
                child_peak = max(child_peak, psutil.Process(worker.process_id).memory_info().rss)
    own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"parent": own_peak / 1e6, "child": child_peak / 1e6}


# Report


def checks(report: dict[str, Any], num_seeks: int) -> list[dict[str, Any]]:
    """What the project promises, each with its limit."""
    memory = report["memory"]
    growth = max(memory[f"long_{who}_mb"] / memory[f"short_{who}_mb"] for who in ("parent", "child"))
    rows: list[tuple[str, float, str, bool]] = []
    for name, key in (("frames_per_s_vs_opencv", "ratio"), ("frames_per_cpu_s_vs_opencv", "cpu_ratio")):
        ratio = report["one_core"][key]
        rows.append((name, ratio, f">= {SPEED_LIMIT}", ratio >= SPEED_LIMIT))
    for rate, wrong in report["wrong_of_seeks"].items():
        rows.append((f"wrong_of_{num_seeks}_seeks_{rate}", wrong, "<= 0", wrong == 0))
    rows.append(("memory_4x_length", growth, f"<= {MEMORY_LIMIT}", growth <= MEMORY_LIMIT))
    keys = ("name", "value", "limit", "passed")
    return [dict(zip(keys, row, strict=True)) for row in rows]


def print_report(report: dict[str, Any], options: argparse.Namespace) -> None:
    """Show the figures and the checks."""
    print(f"\n{options.frames} frames of 1280x720 H.264 to 320x240, {options.rounds} paired rounds")
    print(f"{'':28} {'ours':>10} {'opencv':>10} {'ratio':>8}")
    for title, part in (("one core", "one_core"), ("all cores", "all_cores")):
        for unit, figures, ratio in (
            ("frames/s", "frames_per_s", "ratio"),
            ("frames/CPU-s", "frames_per_cpu_s", "cpu_ratio"),
        ):
            row = report[part]
            ours, theirs = row[figures]["ours"], row[figures]["opencv"]
            print(f"{title + ', ' + unit:28} {ours:10.0f} {theirs:10.0f} {row[ratio]:8.2f}")
    memory = report["memory"]
    for who in ("parent", "child"):
        short, long = memory[f"short_{who}_mb"], memory[f"long_{who}_mb"]
        print(f"peak memory, {who:15} {short:7.1f} MB, four times as long {long:7.1f} MB")
    for check in report["checks"]:
        verdict = "met" if check["passed"] else "MISSED"
        print(f"  {check['name']} {check['value']:.2f} (limit {check['limit']}): {verdict}")


if __name__ == "__main__":
    main()
