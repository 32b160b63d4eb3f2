"""Stage distil_decoder: a light decoder that learns to show what the autoencoder's own decoder shows.

On the dataset's own frames and latents: it need not show any picture in the world, only this game's.
Publishes an autoencoder's folder that decodes with it, and decoders.png: truth, full decoder, light decoder.
"""

from __future__ import annotations

from pathlib import Path

import torch

from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.latent_space import build_light_decoder, save_latent_space
from worldgen_core.models.light_decoder import LightDecoder
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.seeds import derive_seed
from worldgen_core.sizes.measure import run_cost
from worldgen_core.threads import cpu_threads
from worldgen_core.training.decoder_objective import Teacher
from worldgen_core.training.decoder_settings import DistilDecoderSettings
from worldgen_core.training.decoders import (
    DecoderData,
    mean_psnr,
    open_decoder_data,
    show,
    train_decoder,
    write_figures,
)
from worldgen_core.training.launch import in_processes


@in_processes
def distil_decoder(
    settings: DistilDecoderSettings,
    dataset: Path,
    latents: Path,
    autoencoder: Path,
    *,
    out: Path,
    resume: Path,
    progress: Progress,
) -> Outcome:
    """Teach a light decoder on `dataset`, and write `autoencoder` with it into `out`.

    Raises: ConfigError, StorageError if the folders do not belong together; CheckpointError, DivergenceError.
    """
    with cpu_threads(settings.loop.num_threads):
        data = open_decoder_data(settings, dataset, latents, autoencoder)
        light, teacher = _fresh(settings, data), _teacher(settings, data)
        run = train_decoder(
            settings, data, light, light.decode, teacher=teacher, resume=resume, progress=progress
        )
        light.load_state_dict(run.weights)
        held_out = data.held_out(settings.num_validation_frames)
        full = show(data.network.decode, held_out.z, data.median.device)
        shown = show(light.decode, held_out.z, data.median.device)
    psnr_db, full_db = (mean_psnr(frames, held_out.frames) for frames in (shown, full))
    one = held_out.z[:1].to(data.median.device)
    flops = run_cost(lambda: light.decode(one)).flops
    full_flops = run_cost(lambda: data.network.decode(one)).flops
    space = data.space.with_light_decoder(light, psnr_db)
    save_latent_space(space, out)
    return Outcome(
        metrics={
            "psnr_db": psnr_db,
            "full_psnr_db": full_db,
            "loss_db": full_db - psnr_db,
            "psnr_to_full_db": mean_psnr(shown, full),
            "num_parameters": space.card.num_parameters["light_decoder"],
            "flops": flops,
            "full_flops": full_flops,
            "last": run.rows[-1] if run.rows else {},
        },
        notes={"steps_per_s": run.steps_per_s},
        headline=f"PSNR {psnr_db:.1f} dB, {full_db - psnr_db:.2f} below the full decoder, "
        f"1/{full_flops / flops:.0f} of its operations",
        figures=write_figures(
            out,
            run,
            names=("picture",) if teacher is None else ("picture", "teacher"),
            rows=(held_out.frames, full, shown),
            title=f"light decoder on {data.reader.info.name}",
        ),
    )


def _fresh(settings: DistilDecoderSettings, data: DecoderData) -> LightDecoder:
    """Return the untrained light decoder on its device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(settings.seed, "light_decoder", "weights"))
        light = build_light_decoder(settings.architecture, data.network, data.space.card)
    if get_facts(settings.game).assumptions.has_static_background:
        light.background.copy_(data.median)
    return light.to(data.median.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing overload


def _teacher(settings: DistilDecoderSettings, data: DecoderData) -> Teacher | None:
    if settings.teacher_weight == 0:
        return None
    noise = settings.latent_noise * data.space.std
    return Teacher(data.network.decode, settings.teacher_weight, settings.num_teacher_frames, noise)
