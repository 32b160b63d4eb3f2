"""Windows of frames as the two stages of `diamond` learn from them: small ones, or full ones with a guide."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from einops import rearrange
from jaxtyping import Float32, UInt8
from torch import Tensor

from storage.clips import ClipReader
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.upsampler import enlarged, shrunk
from worldgen_core.ranges import to_unit
from worldgen_core.training.clip_batches import ClipSampler
from worldgen_core.training.diamond_objective import PixelBatch
from worldgen_core.training.phases import UnrollPhase, phase_at

Size = tuple[int, int]


def low_batches(
    reader: ClipReader, phases: Sequence[UnrollPhase], *, num_context: int, seed: int, low_size: Size
) -> Callable[[int], PixelBatch]:
    """Return the batch of a training step for the denoiser: windows at low resolution."""
    return _batches(reader, phases, num_context, seed, lambda obs: (_over_time(obs, shrunk, low_size), None))


def upsampler_batches(
    reader: ClipReader, phases: Sequence[UnrollPhase], *, num_context: int, seed: int, low_size: Size
) -> Callable[[int], PixelBatch]:
    """Return the batch of a training step for the upsampler: full windows, and each frame as its guide."""
    full_size = (reader.info.height, reader.info.width)

    def prepare(obs: Tensor) -> tuple[Tensor, Tensor]:
        return obs, _over_time(_over_time(obs, shrunk, low_size), enlarged, full_size)

    return _batches(reader, phases, num_context, seed, prepare)


def _batches(
    reader: ClipReader,
    phases: Sequence[UnrollPhase],
    num_context: int,
    seed: int,
    prepare: Callable[[Tensor], tuple[Tensor, Tensor | None]],
) -> Callable[[int], PixelBatch]:
    oversample = get_facts(reader.info.game).assumptions.oversample
    sampler = ClipSampler(reader, num_context=num_context, oversample=oversample, seed=seed)

    def batch(train_step: int) -> PixelBatch:
        phase = phase_at(phases, train_step)
        clips = sampler.batch(train_step, unroll=phase.unroll, batch_size=phase.batch_size)
        obs, guide = prepare(_to_channels(clips.obs))
        return PixelBatch(obs, clips.act, clips.end, guide)

    return batch


def _to_channels(frames: UInt8[Tensor, "b t h w c"]) -> Float32[Tensor, "b t c h w"]:
    return rearrange(to_unit(frames), "b t h w c -> b t c h w")


def _over_time(obs: Tensor, resize: Callable[[Tensor, Size], Tensor], size: Size) -> Tensor:
    resized = resize(rearrange(obs, "b t c h w -> (b t) c h w"), size)
    return rearrange(resized, "(b t) c h w -> b t c h w", b=len(obs))
