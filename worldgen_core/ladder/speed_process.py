"""What the stage ladder_speed runs in processes of its own.

`… time SETTINGS_JSON FOLDERS_JSON RESULT_FILE` times all pieces in turn, round by round, so that a ratio
holds although other programs come and go; one thread on a CPU is timed by its own clock, not the wall's.
`… memory SETTINGS_JSON RUNG RESULT_FILE` runs each network of one rung once and tells the most memory that
took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from worldgen_core.device import choose_device, choose_precision
from worldgen_core.evaluation.benchmark_process import peak_memory_bytes
from worldgen_core.ladder.pieces import (
    PieceKey,
    Timed,
    as_played,
    costs_of,
    frame_of,
    parts_of,
    timed_of,
    whole_frames,
)
from worldgen_core.ladder.settings import LadderSettings, NumberName, Rung

_LEAST_S = 0.1
"""A turn runs a quick piece again until so much time has passed."""


def time_pieces(settings: LadderSettings, folders: dict[str, str]) -> dict[str, Any]:
    """Seconds a run of each piece in every round, and why a rung has none.

    Names of "piece_seconds" are "rung/part"; a piece that several rungs share stands under the first of them,
    and "uses" says which pieces, how often, a frame of each rung takes. An emulated piece runs in the first
    round only: its slowness is plain at once.
    """
    device = choose_device(settings.device).type
    pieces: dict[PieceKey, Timed] = {}
    names: dict[PieceKey, str] = {}
    slow: set[PieceKey] = set()
    failures: dict[str, str] = {}
    uses: dict[str, list[tuple[str, int]]] = {}
    for rung in settings.rungs:
        if rung.is_whole and rung.name not in folders:
            continue
        try:
            made = _make(rung, settings, folders, set(pieces), device)
            _warm_up(made.values(), rung, device)
        except RuntimeError as error:  # torch says so of a precision or an operation that a device lacks
            failures[rung.name] = str(error).splitlines()[0]
            continue
        pieces |= made
        names |= {key: f"{rung.name}/{key.part}" for key in made}
        uses[rung.name] = [(names[key], num_evaluations) for key, num_evaluations in _asked(rung, settings)]
        slow |= set() if is_native(rung.precision, device) else set(made)
    seconds: dict[str, list[float]] = {names[key]: [] for key in pieces}
    clock = clock_of(device, settings.num_threads)
    with torch.inference_mode():
        for number in range(settings.num_rounds):
            for key, piece in pieces.items():
                if number == 0 or key not in slow:
                    seconds[names[key]].append(piece.scale * _turn(piece, device, clock))
    scaled = sorted(names[key] for key, piece in pieces.items() if piece.scale != 1)
    return {"piece_seconds": seconds, "uses": uses, "failures": failures, "scaled": scaled}


def _asked(rung: Rung, settings: LadderSettings) -> list[tuple[PieceKey, int]]:
    """What a frame of a rung is made of, and how often it runs each."""
    if rung.is_whole:
        return [(PieceKey(f"frame of {rung.model}", 0, 0, rung.precision, rung.layout, rung.backend), 1)]
    return [(cost.key, cost.num_evaluations) for cost in costs_of(rung, settings) if cost.num_evaluations]


def _make(
    rung: Rung,
    settings: LadderSettings,
    folders: dict[str, str],
    known: set[PieceKey],
    device: str,
) -> dict[PieceKey, Timed]:
    wanted = {key for key, _ in _asked(rung, settings)} - known
    if rung.is_whole:
        return {key: whole_frames(Path(folders[rung.name]), device=device) for key in wanted}
    by_part = {key.part: key for key in wanted}
    if not by_part:
        return {}
    limit = settings.max_gflop if is_native(rung.precision, device) else settings.max_emulated_gflop
    return timed_of(rung, settings, by_part, device=device, max_gflop=limit)


def _warm_up(pieces: Iterable[Timed], rung: Rung, device: str) -> None:
    if is_native(rung.precision, device):
        with torch.inference_mode():
            for piece in pieces:
                piece.run()


def clock_of(device: str, num_threads: int) -> Callable[[], float]:
    """One core's own time, which other programs hardly change; else the time that passes."""
    return time.process_time if device == "cpu" and num_threads == 1 else time.perf_counter


def is_native(precision: NumberName, device: str) -> bool:
    """Whether the device multiplies numbers of this kind, rather than emulating it."""
    if precision == "float32" or device != "cpu":
        return True
    if precision == "bf16":
        return choose_precision("auto", torch.device(device)) == "bf16"
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_fp16", False) or features.get("amx_fp16", False))


def _turn(piece: Timed, device: str, clock: Callable[[], float]) -> float:
    """Mean seconds of a run."""
    started, num_runs = clock(), 0
    while num_runs == 0 or clock() - started < _LEAST_S:
        piece.run()
        if device != "cpu":
            torch.accelerator.synchronize()
        num_runs += 1
    return (clock() - started) / num_runs


def memory_of(settings: LadderSettings, rung: Rung) -> dict[str, Any]:
    """The most memory that a rung's networks and one run of each take, in bytes."""
    device = choose_device(settings.device).type
    before_bytes = peak_memory_bytes()
    parts = parts_of(rung, settings.num_actions, frame_of(rung), device=device)
    with torch.inference_mode():
        for part in parts:
            if part.num_evaluations:
                as_played(part.modules, rung)
                part.run()
    if device == "cuda":
        return {"memory_bytes": torch.cuda.max_memory_allocated()}
    return {"memory_bytes": peak_memory_bytes() - before_bytes}


def main(what: str, settings_json: str, argument: str, result_file: str) -> None:
    """Measure and write the result as JSON."""
    settings = LadderSettings.model_validate_json(settings_json)
    torch.set_num_threads(settings.num_threads)
    if what == "time":
        result = time_pieces(settings, json.loads(argument))
    else:
        result = memory_of(settings, next(rung for rung in settings.rungs if rung.name == argument))
    Path(result_file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
