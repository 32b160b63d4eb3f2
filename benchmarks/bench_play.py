"""What the runtime gains: the published `diamond-vae` shape, every backend, against plain float32 eager.

    python benchmarks/bench_play.py [--threads 1] [--json FILE]

The network has the published size (75M parameters, frames of 240x320, 2 Euler steps) and random weights, set
so that signals keep their size on their way through it; a trained network costs the same. Plain float32 eager
is the network as it is trained: no table of modulations, default memory layout. The errors are relative, of
unrounded frames: the worst of 64 frames, each begun at the reference's state, and `drift`, the last frame of
a dream of its own. Each backend runs in a process of its own, frame by frame beside plain float32 eager.

Targets (on a CPU with AMX the first, on any the second): 6 times within 1e-2, 1.5 times within 1e-5.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import torch
from machine import describe_machine
from torch import nn

from worldgen_core.config import make_config
from worldgen_core.models.diamond_vae import DiamondVaeWorldModel
from worldgen_core.models.latent_denoiser import LatentDenoiser
from worldgen_core.models.latent_space import (
    AutoencoderCard,
    LatentSpace,
    LatentStatistics,
    TaesdArchitecture,
    build_autoencoder,
)
from worldgen_core.models.played_unet import PlayedUnet
from worldgen_core.names import BackendName
from worldgen_core.python_child import child_environment
from worldgen_core.runtime.backends import BACKENDS, why_not
from worldgen_core.runtime.measure import Measured, measure
from worldgen_core.runtime.scene import noise_scene
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings

HEIGHT, WIDTH, NUM_STEPS, NUM_ACTIONS = 240, 320, 2, 2
TARGETS = {False: (1.5, 1e-5), True: (6.0, 1e-2)}
"""By whether products are bf16: times float32 eager, and greatest error."""


def published_model(*, is_plain: bool) -> DiamondVaeWorldModel:
    """The published shape with random weights, always the same ones; plain: without what play adds to it."""
    torch.manual_seed(0)
    settings = make_config("flappy", "paper", model="diamond-vae", device="cpu").train
    assert isinstance(settings, DiamondVaeSettings)
    architecture = TaesdArchitecture()
    network = build_autoencoder(architecture, height=HEIGHT, width=WIDTH)
    card = AutoencoderCard(
        architecture=architecture,
        game="flappy",
        height=HEIGHT,
        width=WIDTH,
        statistics=LatentStatistics(mean=(0.0,) * 4, std=(1.0,) * 4),
        num_parameters={},
        psnr_db=0.0,
    )
    space = LatentSpace(network, card)
    denoiser = LatentDenoiser(settings.architecture, latent_shape=space.latent_shape, num_actions=NUM_ACTIONS)
    for module in (denoiser, network):
        keep_variance(module)
    sampler = settings.sampler.model_copy(update={"method": "euler", "num_steps": NUM_STEPS})
    model = DiamondVaeWorldModel(denoiser, space, sampler, torch.device("cpu"))
    if is_plain:
        assert isinstance(denoiser.unet, PlayedUnet)
        denoiser.unet = denoiser.own_unet
        denoiser.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]  # missing overload
        network.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]  # missing overload
    return model


def keep_variance(module: nn.Module) -> None:
    """Draw weights under which features keep their size; layers that start at zero would hide errors."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="linear")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def run_one(name: BackendName, threads: int) -> Measured:
    """Measure one backend in this process."""
    torch.set_num_threads(threads)
    model = published_model(is_plain=False)
    return measure(published_model(is_plain=True), model, BACKENDS[name], noise_scene(model), threads=threads)


def run_child(name: BackendName, threads: int) -> Measured | str:
    """Measure one backend in a process of its own; a string says why it could not be measured."""
    reason = why_not(BACKENDS[name], torch.device("cpu"))
    if reason is not None:
        return reason
    command = [sys.executable, __file__, "--only", name, "--threads", str(threads)]
    child = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    if child.returncode != 0:
        return f"exit code {child.returncode}: {(child.stderr.strip().splitlines() or [''])[-1]}"
    return Measured.model_validate_json(child.stdout.splitlines()[-1])


def line(name: BackendName, found: Measured | str) -> str:
    """A row of the table."""
    if isinstance(found, str):
        return f"{name:<14} {found}"
    wanted, bound = TARGETS[BACKENDS[name].is_bf16]
    is_met = found.times_eager >= wanted and found.error <= bound
    verdict = f"{'reaches' if is_met else 'misses'} {wanted:g} times within {bound:.0e}"
    return (
        f"{name:<14} {found.frames_per_s:>8.2f} {found.times_eager:>8.2f} {found.error:>9.1e} "
        f"{found.drift:>9.1e} {found.build_s:>7.1f} s  {verdict}"
    )


def main() -> None:
    """Measure all backends and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--only", choices=BACKENDS, help="measure one, in this process; prints JSON")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.only:
        print(run_one(arguments.only, arguments.threads).model_dump_json())
        return
    machine = describe_machine("worldgen_core")
    print(machine)
    print("backend        frames/s    eager     error     drift    build")
    figures: dict[str, Any] = {"machine": machine, "threads": arguments.threads}
    for name in BACKENDS:
        found = run_child(cast("BackendName", name), arguments.threads)
        figures[name] = found if isinstance(found, str) else found.model_dump()
        print(line(name, found), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
