"""What the two trainings of a decoder share: frames with their latents, the loop, comparison in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor, nn

from storage.atomic import replacing
from storage.clips import ClipReader
from storage.latents import LatentReader
from worldgen_core.batch import array_to_tensor, picture
from worldgen_core.device import choose_device
from worldgen_core.evaluation.image_metrics import psnr
from worldgen_core.models.autoencoder import FrameAutoencoder
from worldgen_core.models.latent_space import LatentSpace, load_latent_space
from worldgen_core.progress import Progress
from worldgen_core.ranges import to_u8, to_unit
from worldgen_core.seeds import derive_seed
from worldgen_core.training.clip_batches import Prefetcher
from worldgen_core.training.curves import CURVES_FILE, write_curves, write_metrics
from worldgen_core.training.decoder_objective import (
    Decode,
    DecoderObjective,
    Foreground,
    FrameLatents,
    Teacher,
)
from worldgen_core.training.decoder_settings import DecoderTrainingSettings
from worldgen_core.training.frame_batches import FrameSampler, Place
from worldgen_core.training.latents import check_frame_size, open_latents
from worldgen_core.training.loop import TrainingRun, run_training
from worldgen_core.training.picture_statistics import median_background, sample_pairs

STRIP_FILE = "decoders.png"
NUM_SHOWN = 6
STRIP_WIDTH = 1200
"""About as wide a strip becomes, in pixels."""
CHUNK = 32


@dataclass(frozen=True)
class DecoderData:
    """A dataset with its latents, and the autoencoder that made them, on the device of the training."""

    reader: ClipReader
    latents: LatentReader
    space: LatentSpace
    median: Float32[Tensor, "3 h w"]
    """The dataset's median frame."""

    @property
    def network(self) -> FrameAutoencoder:
        """The autoencoder, which takes and makes latents that are not normalised."""
        network = self.space.network
        assert isinstance(network, FrameAutoencoder)
        return network

    def pairs(self, sampler: FrameSampler, places: Sequence[Place]) -> FrameLatents:
        """Frames with the latents that a decoder takes: as the autoencoder makes them, not normalised."""
        z = np.concatenate([self.latents.read(place.episode_id, place.frame, 1) for place in places])
        mean, std = self.space.mean.cpu(), self.space.std.cpu()
        return FrameLatents(sampler.read(places), array_to_tensor(z) * std + mean)

    def held_out(self, num_frames: int) -> FrameLatents:
        """Frames spread over the validation split."""
        sampler = FrameSampler(self.reader, "validation")
        return self.pairs(sampler, sampler.spread_places(num_frames))


def open_decoder_data(
    settings: DecoderTrainingSettings, dataset: Path, latents: Path, autoencoder: Path
) -> DecoderData:
    """Open what belongs together.

    Raises: ConfigError, StorageError if it does not; CheckpointError if the autoencoder is unusable.
    """
    reader, space = ClipReader(dataset), load_latent_space(autoencoder, choose_device(settings.loop.device))
    check_frame_size(space, reader.info.height, reader.info.width)
    median = to_unit(picture(median_background(sample_pairs(reader, seed=settings.seed))))[0]
    return DecoderData(reader, open_latents(latents, space, reader), space, median.to(space.mean.device))


def train_decoder(
    settings: DecoderTrainingSettings,
    data: DecoderData,
    module: nn.Module,
    decode: Decode,
    *,
    teacher: Teacher | None = None,
    resume: Path,
    progress: Progress,
) -> TrainingRun:
    """Train the weights of `module`, with which `decode` decodes, on the dataset's training frames.

    Raises: CheckpointError, DivergenceError, StorageError.
    """
    frames, seed = FrameSampler(data.reader, "train"), derive_seed(settings.seed, "decoder", "batches")

    def batch(train_step: int) -> FrameLatents:
        return data.pairs(frames, frames.places(train_step, batch_size=settings.batch_size, seed=seed))

    foreground = Foreground(data.median, settings.foreground_weight, settings.foreground_level)
    batches = Prefetcher(batch, settings.num_steps)
    try:
        return run_training(
            DecoderObjective(module, decode, foreground, batches, teacher),
            settings.loop,
            seed=derive_seed(settings.seed, "decoder", "noise"),
            num_steps=settings.num_steps,
            num_frames_at=lambda _train_step: settings.batch_size,
            resume=resume,
            progress=progress,
        )
    finally:
        batches.close()


@torch.no_grad()
def show(
    decode: Decode, z: Float32[Tensor, "b c_z h_z w_z"], device: torch.device
) -> UInt8[Tensor, "b h w 3"]:
    """The pictures that a decoder makes of latents."""
    decoded = [to_u8(decode(part.to(device))).cpu() for part in z.split(CHUNK)]
    return torch.cat(decoded).permute(0, 2, 3, 1).contiguous()


def mean_psnr(shown: UInt8[Tensor, "b h w c"], truth: UInt8[Tensor, "b h w c"]) -> float:
    """Mean over frames, in dB."""
    return float(psnr(shown.numpy(), truth.numpy()).mean())


def write_figures(
    out: Path, run: TrainingRun, *, names: Sequence[str], rows: Sequence[UInt8[Tensor, "b h w c"]], title: str
) -> tuple[str, ...]:
    """Write metrics, curves and a strip of pictures into `out`; return the names of the pictures' files.

    The strip holds a few frames in as many rows as there are ones who show them.
    """
    _draw_strip(rows, out / STRIP_FILE)
    write_metrics(out, run.rows)
    if not run.rows:
        return (STRIP_FILE,)
    write_curves(out, run.rows, names=names, title=title)
    return STRIP_FILE, CURVES_FILE


def _draw_strip(rows: Sequence[UInt8[Tensor, "b h w c"]], path: Path) -> None:
    """Small frames are enlarged by whole factors."""
    every = -(-len(rows[0]) // NUM_SHOWN)
    whole = torch.cat([torch.cat(list(frames[::every]), dim=1) for frames in rows]).numpy()
    scale = max(1, STRIP_WIDTH // whole.shape[1])
    with replacing(path) as file:
        Image.fromarray(whole.repeat(scale, 0).repeat(scale, 1)).save(file, format="png")
