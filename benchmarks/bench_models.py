"""Samples a second in training and frames a second at play of every model, and where the time goes.

    make bench-models
    .venv/bin/python benchmarks/bench_models.py --profile laptop --threads 1

Networks of a profile's size with random weights and black frames, timed by one core's own clock in turn, so
that ratios hold on a machine that others use. Each network is run twice: as plain float32 with contiguous
pictures, and in the layout and precision of play: channels_last, and bf16 where the processor multiplies it.
What play remembers besides, the table of conditioning, is in bench_play.py: there stand whole frames, with an
error beside each ratio.
"""

from __future__ import annotations

import argparse
import json
from statistics import median
from typing import Any, get_args

import torch
from machine import describe_machine
from torch import nn
from torch.profiler import ProfilerActivity, profile

from worldgen_core.config import make_config
from worldgen_core.device import choose_precision
from worldgen_core.games.catalogue import get_facts
from worldgen_core.ladder.pieces import as_played, frame_of, parts_of
from worldgen_core.ladder.settings import LadderSettings, LayoutName, NumberName, Rung
from worldgen_core.ladder.speed_process import clock_of, time_pieces
from worldgen_core.ladder.table import frame_seconds
from worldgen_core.names import ModelName, ProfileName
from worldgen_core.sizes.table import GAME
from worldgen_core.sizes.training import NUM_FRAMES, Frames, objective_of
from worldgen_core.training.optimizers import MuonAdamW

_NUM_STEPS = 5
_NUM_OPERATIONS = 4


def main() -> None:
    """Print one table."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    precision: NumberName = "bf16" if choose_precision("auto", torch.device("cpu")) == "bf16" else "float32"
    models = get_args(ModelName)
    play = _play(models, arguments.profile, precision, arguments.threads)
    rows = {model: _row(model, arguments.profile, arguments.threads) | play[model] for model in models}
    found = {"machine": describe_machine("worldgen_core"), "played_in": precision, "models": rows}
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['machine']}\nas played: channels_last, {precision}; one image at a time\n")
    print(f"{'model':<14}{'samples/s':>10}{'frames/s':>10}{'plain':>8}{'ratio':>7}  most time in")
    for model, row in rows.items():
        trained = f"{row['samples_per_s']:>10.1f}" if row["samples_per_s"] else f"{'-':>10}"
        rates = f"{row['frames_per_s']:>10.1f}{row['plain_frames_per_s']:>8.1f}{row['ratio']:>7.2f}"
        print(f"{model:<14}{trained}{rates}  {', '.join(row['operations'])}")
    print("\nlayered: its networks alone; training takes its batches from maps, which only footage makes.")


def _row(model: ModelName, profile_name: ProfileName, num_threads: int) -> dict[str, Any]:
    has_steps = model != "layered"
    rung = Rung(name=model, model=model, profile=profile_name, layout="channels_last")
    return {
        "samples_per_s": _training(model, profile_name, num_threads) if has_steps else None,
        "operations": _operations(rung),
    }


def _play(
    models: tuple[ModelName, ...], profile_name: ProfileName, precision: NumberName, num_threads: int
) -> dict[str, dict[str, float]]:
    kinds: list[tuple[str, NumberName, LayoutName]] = [
        ("plain", "float32", "contiguous"),
        ("played", precision, "channels_last"),
    ]
    rungs = tuple(
        Rung(name=f"{model} {kind}", model=model, profile=profile_name, precision=own, layout=layout)
        for model in models
        for kind, own, layout in kinds
    )
    settings = LadderSettings(rungs=rungs, device="cpu", num_threads=num_threads, num_rounds=5)
    notes = time_pieces(settings, {})
    seconds = {rung.name: frame_seconds(rung, notes) for rung in rungs}
    return {
        model: {
            "frames_per_s": 1 / median(seconds[f"{model} played"]),
            "plain_frames_per_s": 1 / median(seconds[f"{model} plain"]),
            "ratio": median(
                plain / played
                for plain, played in zip(seconds[f"{model} plain"], seconds[f"{model} played"], strict=True)
            ),
        }
        for model in models
    }


def _training(model: ModelName, profile_name: ProfileName, num_threads: int) -> float:
    """Dreamt frames a second that a training learns from."""
    config = make_config(GAME, profile_name, model=model, device="cpu")
    facts = get_facts(GAME)
    frames = Frames(facts.height, facts.width, len(facts.action_names))
    objective = objective_of(config, frames, device="cpu")
    objective.module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing overload
    loop, clock = config.train.loop, clock_of("cpu", num_threads)
    optimizer = MuonAdamW(objective.module, loop.optimizer, objective.matrices)
    seconds: list[float] = []
    for train_step in range(_NUM_STEPS + 1):
        started_s = clock()
        precise = choose_precision(loop.precision, torch.device("cpu")) == "bf16"
        with torch.autocast("cpu", torch.bfloat16, enabled=precise):
            losses = objective.loss(train_step, torch.Generator().manual_seed(train_step))
        optimizer.zero_grad()
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(optimizer.parameters, loop.clip_norm)
        optimizer.step(train_step, 0.0)
        seconds.append(clock() - started_s)
    return NUM_FRAMES / median(seconds[1:])


def _operations(rung: Rung) -> list[str]:
    """What takes most of a frame's time, with its share."""
    parts = [part for part in parts_of(rung, 2, frame_of(rung), device="cpu") if part.num_evaluations]
    for part in parts:
        as_played(part.modules, rung)
    with torch.inference_mode():
        for part in parts:
            part.run()
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for part in parts:
                for _ in range(part.num_evaluations):
                    part.run()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return [
        f"{event.key.removeprefix('aten::')} {event.self_cpu_time_total / total:.0%}"
        for event in events[:_NUM_OPERATIONS]
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=get_args(ProfileName), default="laptop")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
