"""Stage train_autoencoder: from a dataset to an autoencoder's folder, with the statistics of its latents.

The folder holds what `models.latent_space` reads, metrics.jsonl, curves.png and roundtrip.png (true frames
above, decoded ones below).
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor, nn

from storage.atomic import replacing
from storage.clips import ClipReader
from storage.records import DatasetInfo
from worldgen_core.batch import picture
from worldgen_core.device import choose_device
from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.image_metrics import psnr
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.autoencoder import FrameAutoencoder, KlAutoencoder
from worldgen_core.models.card import count_parameters
from worldgen_core.models.latent_space import (
    AutoencoderCard,
    LatentSpace,
    LatentStatistics,
    SdVaeArchitecture,
    build_autoencoder,
    save_latent_space,
)
from worldgen_core.models.sd_vae import load_sd_vae
from worldgen_core.models.taesd import load_taesd
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.ranges import to_u8, to_unit
from worldgen_core.seeds import derive_seed
from worldgen_core.threads import cpu_threads
from worldgen_core.training.autoencoder_objective import AutoencoderObjective, AutoencoderWeights, to_channels
from worldgen_core.training.autoencoder_settings import AutoencoderSettings
from worldgen_core.training.clip_batches import Prefetcher
from worldgen_core.training.curves import CURVES_FILE, write_curves, write_metrics
from worldgen_core.training.frame_batches import FrameSampler
from worldgen_core.training.launch import in_processes
from worldgen_core.training.loop import TrainingRun, run_training
from worldgen_core.training.picture_statistics import median_background, sample_pairs

ROUNDTRIP_FILE = "roundtrip.png"
NUM_SHOWN = 8
CHUNK = 32
# A channel that says nearly nothing must not be blown up to the loudness of the others.
MIN_STD_SHARE = 0.05


@in_processes
def train_autoencoder(
    settings: AutoencoderSettings, dataset: Path, *, out: Path, resume: Path, progress: Progress
) -> Outcome:
    """Train an autoencoder on the frames of `dataset` and write it into `out`.

    `resume` takes checkpoints; a killed run goes on from there and ends with the same bytes.
    Raises: ConfigError if the frames do not fit the network; CheckpointError for unusable weights or
    checkpoints.
    """
    reader = ClipReader(dataset)
    frames, held_out = FrameSampler(reader, "train"), FrameSampler(reader, "validation")
    with cpu_threads(settings.loop.num_threads):
        sample = frames.spread(settings.num_statistics_frames)
        median = to_unit(picture(median_background(sample_pairs(reader, seed=settings.seed))))[0]
        network = _start(settings, reader.info, median)
        run = _train(settings, network, median, frames, resume, progress)
        network.load_state_dict(run.weights)
        network.requires_grad_(False).eval()
        unseen = held_out.spread(settings.num_validation_frames)
        return _publish(settings, network, reader.info, sample, unseen, run, out)


def _start(settings: AutoencoderSettings, info: DatasetInfo, median: Float32[Tensor, "3 h w"]) -> nn.Module:
    """Return the untrained network, or the one from the settings' folder, on its device."""
    torch.manual_seed(derive_seed(settings.seed, "autoencoder", "weights"))
    network = build_autoencoder(settings.architecture, height=info.height, width=info.width)
    if settings.weights_folder is not None:
        network = _imported(settings.weights_folder, settings)
    assert isinstance(network, FrameAutoencoder)
    if info.height % network.factor or info.width % network.factor:
        raise ConfigError(
            "autoencoder.architecture: frame size",
            expected=f"height and width that are multiples of {network.factor}",
            found=f"{info.height} x {info.width}",
            next_step="choose a smaller factor, or record frames of another size",
        )
    if isinstance(network, KlAutoencoder) and get_facts(settings.game).assumptions.has_static_background:
        network.background.copy_(median)
    if not settings.trains_encoder:
        network.get_submodule("encoder").requires_grad_(False)
    device = choose_device(settings.loop.device)
    return network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing overload


def _imported(folder: Path, settings: AutoencoderSettings) -> nn.Module:
    is_sd = isinstance(settings.architecture, SdVaeArchitecture)
    network = load_sd_vae(folder) if is_sd else load_taesd(folder)
    if network.settings != settings.architecture.settings:
        raise ConfigError(
            f"{folder}: size of the network",
            expected=repr(settings.architecture.settings),
            found=repr(network.settings),
            next_step="set architecture.settings beside weights_folder to what was found",
        )
    return network


def _train(
    settings: AutoencoderSettings,
    network: nn.Module,
    median: Float32[Tensor, "3 h w"],
    frames: FrameSampler,
    resume: Path,
    progress: Progress,
) -> TrainingRun:
    seed = derive_seed(settings.seed, "autoencoder", "batches")
    batches = Prefetcher(
        lambda train_step: frames.batch(train_step, batch_size=settings.batch_size, seed=seed),
        settings.num_steps,
    )
    weights = AutoencoderWeights(
        kl=settings.kl_weight,
        foreground=settings.foreground_weight,
        foreground_level=settings.foreground_level,
    )
    device = next(network.parameters()).device
    objective = AutoencoderObjective(network, median.to(device), weights, batches)
    try:
        return run_training(
            objective,
            settings.loop,
            seed=derive_seed(settings.seed, "autoencoder", "noise"),
            num_steps=settings.num_steps,
            num_frames_at=lambda _train_step: settings.batch_size,
            resume=resume,
            progress=progress,
        )
    finally:
        batches.close()


def _publish(
    settings: AutoencoderSettings,
    network: nn.Module,
    info: DatasetInfo,
    sample: UInt8[Tensor, "b h w c"],
    held_out: UInt8[Tensor, "n h w c"],
    run: TrainingRun,
    out: Path,
) -> Outcome:
    """Measure the statistics and the round trip, and write everything into `out`."""
    statistics = measure_latents(network, sample)
    network.to("cpu")
    card = AutoencoderCard(
        architecture=settings.architecture,
        game=info.game,
        height=info.height,
        width=info.width,
        statistics=statistics,
        num_parameters=count_parameters(network),
        psnr_db=0.0,
    )
    decoded = roundtrip(LatentSpace(network, card), held_out)
    card = card.model_copy(update={"psnr_db": float(psnr(decoded.numpy(), held_out.numpy()).mean())})
    save_latent_space(LatentSpace(network, card), out)
    write_metrics(out, run.rows)
    if run.rows:
        write_curves(out, run.rows, names=("loss", "picture", "kl"), title=f"autoencoder on {info.name}")
    _draw_roundtrip(held_out, decoded, out / ROUNDTRIP_FILE)
    metrics = {
        "psnr_db": card.psnr_db,
        "latent_std": list(statistics.std),
        "num_parameters": card.num_parameters["total"],
        "last": run.rows[-1] if run.rows else {},
    }
    return Outcome(
        metrics=metrics,
        notes={"steps_per_s": run.steps_per_s},
        headline=f"PSNR {card.psnr_db:.1f} dB",
        figures=(ROUNDTRIP_FILE, CURVES_FILE) if run.rows else (ROUNDTRIP_FILE,),
    )


@torch.no_grad()
def measure_latents(network: nn.Module, frames: UInt8[Tensor, "b h w c"]) -> LatentStatistics:
    """Return mean and deviation of every channel of the raw latents of `frames`."""
    assert isinstance(network, FrameAutoencoder)
    device = next(network.parameters()).device
    chunks = [network.encode(to_channels(part, device)).cpu() for part in frames.split(CHUNK)]
    z = torch.cat(chunks).double()
    std = z.std(dim=(0, 2, 3))
    std = std.clamp(min=float(std.max()) * MIN_STD_SHARE)
    return LatentStatistics(mean=tuple(z.mean(dim=(0, 2, 3)).tolist()), std=tuple(std.tolist()))


@torch.no_grad()
def roundtrip(space: LatentSpace, frames: UInt8[Tensor, "b h w c"]) -> UInt8[Tensor, "b h w c"]:
    """Return `frames` as they come back from the latent space."""
    device = space.mean.device
    decoded = [space.decode(space.encode(to_channels(part, device))) for part in frames.split(CHUNK)]
    return to_u8(torch.cat(decoded)).permute(0, 2, 3, 1).cpu().contiguous()


def _draw_roundtrip(truth: UInt8[Tensor, "b h w c"], decoded: UInt8[Tensor, "b h w c"], path: Path) -> None:
    rows = [torch.cat(list(frames[:: -(-len(frames) // NUM_SHOWN)]), dim=1) for frames in (truth, decoded)]
    with replacing(path) as file:
        Image.fromarray(torch.cat(rows).numpy()).save(file, format="png")
