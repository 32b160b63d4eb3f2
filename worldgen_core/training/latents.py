"""Stage encode_latents: every frame of a dataset through the encoder once, as normalised latents.

Writes what `storage.latents` reads, under the dataset's episode ids and in its order.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from storage.clips import ClipReader
from storage.errors import StorageError
from storage.latents import LatentInfo, LatentReader, LatentWriter
from worldgen_core.batch import array_to_tensor
from worldgen_core.device import choose_device
from worldgen_core.errors import ConfigError
from worldgen_core.models.latent_space import LatentSpace, load_latent_space
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent
from worldgen_core.threads import cpu_threads
from worldgen_core.training.autoencoder_objective import to_channels
from worldgen_core.training.autoencoder_settings import LatentSettings


def encode_latents(
    settings: LatentSettings,
    dataset: Path,
    autoencoder: Path,
    *,
    out: Path,
    resume: Path,  # noqa: ARG001  # every stage's function takes it
    progress: Progress,
) -> Outcome:
    """Encode the frames of `dataset` with `autoencoder` into `out`.

    `resume` is not used: the whole stage takes seconds, and the writer leaves nothing half-done.
    Raises: ConfigError if the autoencoder was made for frames of another size; CheckpointError if it is
    unusable.
    """
    reader = ClipReader(dataset)
    space = load_latent_space(autoencoder, choose_device(settings.device))
    check_frame_size(space, reader.info.height, reader.info.width)
    channels, height, width = space.latent_shape
    info = LatentInfo(reader.info.game, channels, height, width, settings.dtype)
    started, done, total = time.perf_counter(), 0, reader.info.num_frames
    with cpu_threads(settings.num_threads), LatentWriter(out, info) as writer:
        for row in reader.episodes():
            frames = array_to_tensor(reader.read_episode(row.episode_id).frames)
            writer.write(row.episode_id, encode_frames(space, frames, settings.batch_size))
            done += row.num_frames
            rate = done / (time.perf_counter() - started)
            progress(ProgressEvent("frames", done, total, rate))
    return Outcome(
        metrics={"num_frames": done, "latent_shape": list(space.latent_shape)},
        notes={"frames_per_s": done / (time.perf_counter() - started)},
        headline=f"{done:,} latents of {channels}x{height}x{width}",
    )


@torch.inference_mode()
def encode_frames(
    space: LatentSpace, frames: UInt8[Tensor, "t h w 3"], batch_size: int
) -> Float32[np.ndarray, "t c h_z w_z"]:
    """Return the normalised latents of `frames`, `batch_size` at once."""
    device = space.mean.device
    parts = [space.encode(to_channels(part, device)).cpu() for part in frames.split(batch_size)]
    return torch.cat(parts).contiguous().numpy()


def check_frame_size(space: LatentSpace, height: int, width: int) -> None:
    """Raise ConfigError if the autoencoder was made for frames of another size."""
    card = space.card
    if (card.height, card.width) != (height, width):
        raise ConfigError(
            "autoencoder: frame size",
            expected=f"{height} x {width}, as in the dataset",
            found=f"{card.height} x {card.width}",
            next_step="train it on this dataset: `worldgen build GAME --force train_autoencoder`",
        )


def open_latents(folder: Path, space: LatentSpace, reader: ClipReader) -> LatentReader:
    """Open the latents of this dataset and autoencoder.

    Raises: StorageError if they are those of others.
    """
    latents = LatentReader(folder)
    expected = {row.episode_id: row.num_frames for row in reader.episodes()}
    found = {name: entry.num_frames for name, entry in latents.episodes.items()}
    if latents.info.shape != space.latent_shape or expected != found:
        raise StorageError(
            f"{folder}: latents",
            expected=f"{len(expected)} episodes of {space.latent_shape}, as in dataset and autoencoder",
            found=f"{len(found)} episodes of {latents.info.shape}",
            next_step="encode them again: `worldgen build GAME --force encode_latents`",
        )
    return latents
