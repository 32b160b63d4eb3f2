"""A light decoder against the full one: milliseconds and operations a frame, and what it costs in PSNR.

    python benchmarks/bench_decoder.py [--taesd FOLDER] [--frames 400] [--steps 600] [--json FILE]

Speed: TAESD's decoder and the light one of profile `paper`, for frames of 240x320, in float32 on one core;
random weights, which cost what trained ones do. The two take turns; figures are medians of CPU time, so that
other work on the machine counts little.
Quality, where `--taesd` names a folder with TAESD's weights (the layout of diffusers' AutoencoderTiny): their
decoder is fine-tuned on Flappy Bird frames of 128x72, and a light decoder learns from it; PSNR on frames of
other games. Takes some four minutes of CPU time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from flappy_frames import render_episodes
from machine import describe_machine

from storage.records import DatasetInfo, Episode
from storage.shards import write_dataset
from worldgen_core.models.light_decoder import LightDecoder
from worldgen_core.models.taesd import Taesd, TaesdSettings
from worldgen_core.progress import ProgressEvent
from worldgen_core.sizes.measure import run_cost
from worldgen_core.training import autoencoder_settings, decoder_settings
from worldgen_core.training.autoencoder import train_autoencoder
from worldgen_core.training.distil_decoder import distil_decoder
from worldgen_core.training.finetune_decoder import finetune_decoder
from worldgen_core.training.latents import encode_latents

HEIGHT, WIDTH = 240, 320
SMALL = (128, 72)
EPISODE_LENGTH = 100
NUM_ROUNDS = 15


def speed() -> dict[str, dict[str, float]]:
    """Milliseconds and operations of both, for one frame on one core."""
    torch.set_num_threads(1)
    full = Taesd(TaesdSettings())
    light = LightDecoder(
        decoder_settings.distil_paper().architecture,
        num_latent_channels=full.num_latent_channels,
        factor=full.factor,
        height=HEIGHT,
        width=WIDTH,
    )
    z = torch.randn(1, full.num_latent_channels, HEIGHT // full.factor, WIDTH // full.factor)
    decoders = {"full": full, "light": light}
    taken: dict[str, list[float]] = {name: [] for name in decoders}
    with torch.inference_mode():
        for decoder in decoders.values():
            decoder.to(memory_format=torch.channels_last).eval()
        for _ in range(NUM_ROUNDS):
            for name, decoder in decoders.items():
                taken[name].append(_seconds(lambda decoder=decoder: decoder.decode(z)))
    return {
        name: {
            "ms": 1e3 * statistics.median(taken[name]),
            "gflop": run_cost(lambda decoder=decoder: decoder.decode(z)).flops / 1e9,
            "parameters": sum(
                weight.numel()
                for part, weight in decoder.named_parameters()
                if not part.startswith("encoder.")
            ),
        }
        for name, decoder in decoders.items()
    }


def _seconds(run: Callable[[], object]) -> float:
    started = time.thread_time()
    run()
    return time.thread_time() - started


def quality(taesd: Path, folder: Path, num_frames: int, num_steps: int) -> dict[str, dict[str, object]]:
    """PSNR of the imported decoder, the fine-tuned and the light one."""
    dataset, plain, latents, tuned, light = (
        folder / name for name in ("dataset", "plain", "latents", "tuned", "light")
    )
    for out in (plain, tuned, light):
        out.mkdir()
    _write_flappy(dataset, max(4, num_frames // EPISODE_LENGTH))
    imported = autoencoder_settings.paper().model_copy(update={"weights_folder": taesd, "num_steps": 0})
    train_autoencoder(imported, dataset, out=plain, resume=folder / "r0", progress=_tell)
    encode_latents(
        autoencoder_settings.latent_paper(),
        *(dataset, plain),
        out=latents,
        resume=folder / "r1",
        progress=_tell,
    )
    loop = decoder_settings.distil_laptop().loop
    shared = {"batch_size": 4, "num_validation_frames": 64, "loop": loop}
    fine = finetune_decoder(
        decoder_settings.finetune_paper().model_copy(update={**shared, "num_steps": num_steps // 8}),
        *(dataset, latents, plain),
        out=tuned,
        resume=folder / "r2",
        progress=_tell,
    )
    small = distil_decoder(
        decoder_settings.distil_paper().model_copy(
            update={**shared, "batch_size": 8, "num_steps": num_steps, "num_teacher_frames": 1}
        ),
        *(dataset, latents, tuned),
        out=light,
        resume=folder / "r3",
        progress=_tell,
    )
    return {"finetune_decoder": fine.metrics, "distil_decoder": small.metrics}


def _write_flappy(folder: Path, num_episodes: int) -> None:
    """Games of a rule player; every fourth is held out."""
    info = DatasetInfo("flappy", "bench", *SMALL, 30.0, ("idle", "flap"))
    games = render_episodes(num_episodes, EPISODE_LENGTH, seed=0)
    write_dataset(folder, info, (_episode(number, *game) for number, game in enumerate(games)))


def _episode(number: int, frames: np.ndarray, action: np.ndarray) -> Episode:
    size = SMALL[::-1]
    small = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
    never = np.zeros(len(action), bool)
    return Episode(
        episode_id=f"game {number}",
        source=f'{{"seed": {number}}}',
        split="train" if (number + 1) % 4 else "validation",
        frames=small,
        action=action,
        reward=np.zeros(len(action), np.float32),
        terminated=never,
        truncated=np.arange(len(action)) == len(action) - 1,
        pts=np.arange(len(action)),
        source_frame=np.arange(len(action)),
    )


def _tell(event: ProgressEvent) -> None:
    if event.done == event.total:
        print(f"{event.label}: {event.total}")


def main() -> None:
    """Measure, print, and write the JSON that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--taesd", type=Path, help="folder with TAESD's weights: measures quality, too")
    parser.add_argument("--frames", type=int, default=400, help="Flappy Bird frames to learn from")
    parser.add_argument("--steps", type=int, default=600, help="training steps of the light decoder")
    parser.add_argument("--folder", type=Path, help="new folder that keeps what is made, pictures too")
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args()
    found: dict[str, object] = {"machine": describe_machine("worldgen_core"), "speed": speed()}
    if asked.taesd is not None:
        with tempfile.TemporaryDirectory() as temporary:
            folder = asked.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            found["quality"] = quality(asked.taesd, folder, asked.frames, asked.steps)
    text = json.dumps(found, indent=2)
    print(text)
    if asked.json is not None:
        asked.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
