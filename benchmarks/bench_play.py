"""What the runtime gains: the published `diamond-vae` shape, every backend, against plain float32 eager.

    python benchmarks/bench_play.py [--threads 1] [--json FILE]

The network has the published size (75M parameters, frames of 240x320, 2 Euler steps) and random weights, set
so that signals keep their size on their way through it; a trained network costs the same. Plain float32 eager
is the network as it is trained: no table of modulations, default memory layout. The errors are relative, of
unrounded frames: the worst of 64 frames, each begun at the reference's state, and `drift`, the last frame of
a dream of its own. Each backend runs in a process of its own, frame by frame beside plain float32 eager.

Then the same with the light decoder of profile `paper`: its speed is told against the same plain network,
which decodes in full; its errors against itself in float32 eager.

Targets: 6 times within 1e-2 (bf16, on a CPU with AMX), 1.5 times within 1e-5; 12 times with the light one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from machine import describe_machine

from worldgen_core.config import Config, make_config
from worldgen_core.ladder.random_model import random_model
from worldgen_core.names import BackendName
from worldgen_core.python_child import child_environment
from worldgen_core.runtime.backends import BACKENDS, why_not
from worldgen_core.runtime.measure import Measured, measure, timed_step
from worldgen_core.runtime.scene import noise_scene

SIZE, NUM_STEPS, NUM_ACTIONS = (240, 320), 2, 2
TARGETS = {False: (1.5, 1e-5), True: (6.0, 1e-2)}
"""By whether products are bf16: times plain float32 eager, and greatest error."""
LIGHT_TARGET = 12.0
_NUM_PAIRS = 10


def config(*, is_light: bool) -> Config:
    """The published size, with the light decoder or the full one."""
    overrides = {
        "diamond_vae": {"sampler": {"method": "euler", "num_steps": NUM_STEPS}},
        "distil_decoder": {"is_on": is_light},
    }
    return make_config("flappy", "paper", model="diamond-vae", device="cpu", overrides=overrides)


def run_one(name: BackendName, threads: int, *, is_light: bool) -> Measured:
    """Measure one backend in this process."""
    torch.set_num_threads(threads)
    plain = random_model(config(is_light=False), num_actions=NUM_ACTIONS, size=SIZE, is_plain=True)
    made = random_model(config(is_light=is_light), num_actions=NUM_ACTIONS, size=SIZE)
    scene = noise_scene(made)
    if not is_light:
        return measure(plain, made, BACKENDS[name], scene, threads=threads)
    itself = random_model(config(is_light=True), num_actions=NUM_ACTIONS, size=SIZE)
    found = measure(itself, made, BACKENDS[name], scene, threads=threads)
    scene.begin(plain)
    scene.begin(made)
    pairs = [
        (timed_step(plain, scene.action(frame))[1], timed_step(made, scene.action(frame))[1])
        for frame in range(_NUM_PAIRS)
    ]
    return found.model_copy(update={"times_eager": round(median(slow / fast for slow, fast in pairs), 2)})


def run_child(name: BackendName, threads: int, *, is_light: bool) -> Measured | str:
    """Measure one backend in a process of its own; a string says why it could not be measured."""
    reason = why_not(BACKENDS[name], torch.device("cpu"))
    if reason is not None:
        return reason
    command = [sys.executable, __file__, "--only", name, "--threads", str(threads)]
    command += ["--light"] if is_light else []
    child = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    if child.returncode != 0:
        return f"exit code {child.returncode}: {(child.stderr.strip().splitlines() or [''])[-1]}"
    return Measured.model_validate_json(child.stdout.splitlines()[-1])


def line(name: BackendName, found: Measured | str, *, is_light: bool) -> str:
    """A row of the table."""
    if isinstance(found, str):
        return f"{name:<14} {found}"
    wanted, bound = TARGETS[BACKENDS[name].is_bf16]
    wanted = LIGHT_TARGET if is_light else wanted
    is_met = found.times_eager >= wanted and found.error <= bound
    return (
        f"{name:<14} {found.frames_per_s:>8.2f} {found.times_eager:>7.2f}x {found.error:>9.1e} "
        f"{found.drift:>9.1e} {found.build_s:>7.1f} s  "
        f"{'reaches' if is_met else 'misses'} {wanted:g} times within {bound:.0e}"
    )


def main() -> None:
    """Measure all backends and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--only", choices=BACKENDS, help="measure one, in this process; prints JSON")
    parser.add_argument("--light", action="store_true", help="with --only: with the light decoder")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.only:
        print(run_one(arguments.only, arguments.threads, is_light=arguments.light).model_dump_json())
        return
    machine = describe_machine("worldgen_core")
    print(machine)
    figures: dict[str, Any] = {"machine": machine, "threads": arguments.threads}
    for title, is_light in (("full decoder", False), ("light decoder", True)):
        print(f"{title:<14} frames/s    plain     error     drift    build")
        for name in BACKENDS:
            found = run_child(cast("BackendName", name), arguments.threads, is_light=is_light)
            figures[f"{name}, {title}"] = found if isinstance(found, str) else found.model_dump()
            print(line(name, found, is_light=is_light), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
