"""Stage finetune_decoder: the autoencoder's own decoder, trained on while the encoder stays as it is.

Latents and their statistics do not change, so neither do the encoded dataset nor the world model. GameNGen
(Valevski et al. 2024, arXiv:2408.14837) does so with Stable Diffusion's decoder, for small things such as the
figures of a score. Publishes an autoencoder's folder, and decoders.png: truth, before, after.
"""

from __future__ import annotations

from pathlib import Path

from worldgen_core.models.latent_space import LatentSpace, save_latent_space
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.threads import cpu_threads
from worldgen_core.training.decoder_settings import FinetuneDecoderSettings
from worldgen_core.training.decoders import mean_psnr, open_decoder_data, show, train_decoder, write_figures
from worldgen_core.training.launch import in_processes


@in_processes
def finetune_decoder(
    settings: FinetuneDecoderSettings,
    dataset: Path,
    latents: Path,
    autoencoder: Path,
    *,
    out: Path,
    resume: Path,
    progress: Progress,
) -> Outcome:
    """Train the decoder of `autoencoder` on `dataset`, and write the whole autoencoder into `out`.

    Raises: ConfigError, StorageError if the folders do not belong together; CheckpointError, DivergenceError.
    """
    with cpu_threads(settings.loop.num_threads):
        data = open_decoder_data(settings, dataset, latents, autoencoder)
        decode, held_out = data.network.decode, data.held_out(settings.num_validation_frames)
        before = show(decode, held_out.z, data.median.device)
        decoder = data.space.network.get_submodule("decoder").requires_grad_(True)
        run = train_decoder(settings, data, decoder, decode, resume=resume, progress=progress)
        decoder.load_state_dict(run.weights)
        decoder.requires_grad_(False)
        after = show(decode, held_out.z, data.median.device)
    psnr_db, before_db = (mean_psnr(shown, held_out.frames) for shown in (after, before))
    card = data.space.card.model_copy(update={"psnr_db": psnr_db})
    save_latent_space(LatentSpace(data.space.network, card), out)
    return Outcome(
        metrics={"psnr_db": psnr_db, "psnr_before_db": before_db, "last": run.rows[-1] if run.rows else {}},
        notes={"steps_per_s": run.steps_per_s},
        headline=f"PSNR {psnr_db:.1f} dB, {before_db:.1f} before",
        figures=write_figures(
            out,
            run,
            names=("picture",),
            rows=(held_out.frames, before, after),
            title=f"decoder on {data.reader.info.name}",
        ),
    )
