"""Trains the reward head on recorded frames, at the end of a world model's training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn import functional

from storage.clips import ClipReader
from worldgen_core.batch import array_to_tensor
from worldgen_core.device import choose_device
from worldgen_core.models.card import count_parameters, fill, read_card, write_card, write_weights
from worldgen_core.models.reward_head import REWARD_WEIGHTS_FILE, RewardHead, last_seen
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.rows import row_share, split_rows
from worldgen_core.seeds import derive_seed
from worldgen_core.threads import cpu_threads
from worldgen_core.training.clip_batches import Prefetcher
from worldgen_core.training.loop import run_training
from worldgen_core.training.reward_batches import RewardBatch, RewardClips, RewardSampler, reward_values
from worldgen_core.training.reward_settings import RewardedCurriculum

_NUM_CHECKED = 2048
"""Held-out windows on which a finished head is judged."""
_CHECK_BATCH = 128


def add_reward_head(
    settings: RewardedCurriculum,
    reader: ClipReader,
    outcome: Outcome,
    *,
    out: Path,
    resume: Path,
    progress: Progress,
) -> Outcome:
    """Train a reward head on the dataset and add it to the model folder `out`, whose training had `outcome`.

    Nothing changes where all rewards are 0, or no head is wanted. The share of the variance of held-out
    rewards that it explains, 1 at best, goes into the outcome where these vary.
    Raises: as `run_training`; StorageError.
    """
    if not settings.reward.num_steps:
        return outcome
    clips = RewardClips(reader, "train")
    values = reward_values(clips.reward, settings.reward.max_values)
    if not values.any():
        return outcome
    head = _fresh_head(settings, reader, values)
    _train(head, RewardSampler(clips, values, seed=settings.seed), settings, resume / "reward", progress)
    explained = _explained(head, RewardClips(reader, "validation"), num_threads=settings.loop.num_threads)
    found = {} if explained is None else {"reward_explained": explained}
    total = _write(head, out, found)
    return dataclasses.replace(outcome, metrics={**outcome.metrics, **found, "num_parameters": total})


def _fresh_head(
    settings: RewardedCurriculum, reader: ClipReader, values: Float32[np.ndarray, " k"]
) -> RewardHead:
    info = reader.info
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(settings.seed, "reward weights"))
        head = RewardHead(
            settings.reward.head.model_copy(update={"num_values": len(values)}),
            num_actions=len(info.action_names),
            height=info.height,
            width=info.width,
        )
    head.values.copy_(array_to_tensor(values))
    return head.to(choose_device(settings.loop.device), memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing overload


def _train(
    head: RewardHead, sampler: RewardSampler, settings: RewardedCurriculum, resume: Path, progress: Progress
) -> None:
    """Train the head in place; a single value needs no steps."""
    own = settings.reward
    num_steps = own.num_steps if len(head.values) > 1 else 0
    batches = Prefetcher(lambda step: sampler.batch(step, batch_size=own.batch_size), num_steps)
    try:
        run = run_training(
            RewardObjective(head, batches),
            own.loop(settings.loop),
            seed=derive_seed(settings.seed, "reward"),
            num_steps=num_steps,
            num_frames_at=lambda _: own.batch_size,
            resume=resume,
            progress=progress,
            label="frames with rewards",
        )
    finally:
        batches.close()
    fill(head, run.weights, source="the reward head's training")
    with torch.no_grad():
        head.output.bias.add_(array_to_tensor(sampler.correction).to(head.values.device))
    head.eval()


class RewardObjective:
    """Cross-entropy of the reward; `batches` is a pure function of the training step."""

    def __init__(self, head: RewardHead, batches: Prefetcher[RewardBatch]) -> None:
        self.module: nn.Module = head
        self.matrices: list[nn.Parameter] = []
        self._head, self._batches = head, batches

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss of one batch, in nats a frame."""
        whole, device = self._batches(train_step), self._head.values.device
        rows = split_rows(len(whole.act), generator)
        obs, act, target = (part[rows].to(device) for part in whole)
        loss = functional.cross_entropy(self._head(last_seen(obs), act), target)
        return {"loss": row_share(generator) * loss}


@torch.inference_mode()
def _explained(head: RewardHead, clips: RewardClips, *, num_threads: int) -> float | None:
    """Which share of the variance of rewards the head explains; None if they do not vary."""
    numbers = np.unique(np.arange(_NUM_CHECKED) * len(clips.reward) // _NUM_CHECKED)
    reward = clips.reward[numbers] if len(clips.reward) else clips.reward
    if len(set(reward.tolist())) < 2:
        return None
    values, predicted = head.values, list[Tensor]()
    with cpu_threads(num_threads):
        for some in np.array_split(numbers, range(_CHECK_BATCH, len(numbers), _CHECK_BATCH)):
            batch = clips.read(some, values.cpu().numpy())
            seen = last_seen(batch.obs.to(values.device))
            predicted.append(head.reward(seen, batch.act.to(values.device)).cpu())
    error = torch.cat(predicted).numpy() - reward
    return 1.0 - float(np.square(error).mean() / reward.var())


def _write(head: RewardHead, folder: Path, found: dict[str, Any]) -> int:
    """Add the head to a model folder, the card last; returns how many parameters the model has now."""
    card, own = read_card(folder), count_parameters(head)["total"]
    digest = write_weights(folder, head.state_dict(), file_name=REWARD_WEIGHTS_FILE)
    total = card.num_parameters["total"] + own
    changes = {
        "reward_head": head.settings.model_dump(mode="json"),
        "num_parameters": {**card.num_parameters, "reward_head": own, "total": total},
        "training": {**card.training, **found},
        "weights_sha256": {**card.weights_sha256, REWARD_WEIGHTS_FILE: digest},
    }
    write_card(folder, card.model_copy(update=changes))
    return total
