"""Trains the reward head on recorded frames, at the end of a world model's training."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int32
from torch import Tensor, nn
from torch.nn import functional

from storage.clips import ClipReader
from storage.records import Split
from worldgen_core.batch import array_to_tensor
from worldgen_core.device import choose_device
from worldgen_core.models.card import fill
from worldgen_core.models.reward_head import NUM_SEEN, RewardHead, last_seen
from worldgen_core.progress import Progress
from worldgen_core.rows import row_share, split_rows
from worldgen_core.seeds import derive_seed
from worldgen_core.threads import cpu_threads
from worldgen_core.training.clip_batches import Prefetcher
from worldgen_core.training.loop import run_training
from worldgen_core.training.reward_settings import RewardedCurriculum, RewardFitSettings

_NUM_CHECKED = 2048
"""Held-out frames on which a finished head is judged."""
_CHECK_BATCH = 128


class TrainedReward(NamedTuple):
    """A finished head, and which share of the variance of held-out rewards it explains: 1 at best.

    None where held-out rewards do not vary.
    """

    head: RewardHead
    explained: float | None


def train_reward(
    settings: RewardedCurriculum, reader: ClipReader, *, resume: Path, progress: Progress
) -> TrainedReward | None:
    """Train a head on the dataset; None if all its rewards are 0, or none is wanted.

    Raises: as `run_training`; StorageError.
    """
    own = settings.reward
    if not own.num_steps:
        return None
    clips = RewardClips(reader, "train")
    values = reward_values(clips.paid, own.max_values)
    if not values.any():
        return None
    head = _fresh_head(settings, reader, values)
    objective = RewardObjective(head, clips, own, derive_seed(settings.seed, "reward"))
    try:
        run = run_training(
            objective,
            own.loop(settings.loop),
            seed=derive_seed(settings.seed, "reward"),
            num_steps=own.num_steps,
            num_frames_at=lambda _: own.batch_size,
            resume=resume / "reward",
            progress=progress,
            label="frames with rewards",
        )
    finally:
        objective.close()
    fill(head, run.weights, source="the reward head's training")
    with torch.no_grad():
        head.output.bias.add_(objective.correction.to(head.output.bias.device))
    explained = _explained(head.eval(), RewardClips(reader, "validation"), settings)
    return TrainedReward(head.cpu(), explained)


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


@torch.inference_mode()
def _explained(head: RewardHead, clips: RewardClips, settings: RewardedCurriculum) -> float | None:
    numbers = np.unique(np.arange(_NUM_CHECKED) * len(clips.paid) // _NUM_CHECKED)
    paid = clips.paid[numbers] if len(clips.paid) else clips.paid
    if len(set(paid.tolist())) < 2:
        return None
    device, told = head.values.device, list[np.ndarray]()
    with cpu_threads(settings.loop.num_threads):
        for first in range(0, len(numbers), _CHECK_BATCH):
            frames, act, _ = clips.read(numbers[first : first + _CHECK_BATCH])
            told.append(head.reward(last_seen(frames.to(device)), act.to(device)).cpu().numpy())
    return 1.0 - float(np.square(np.concatenate(told) - paid).mean() / paid.var())


class RewardClips:
    """The windows of one split that a reward head sees, and what the last frame of each pays."""

    def __init__(self, reader: ClipReader, split: Split) -> None:
        """Raises: StorageError."""
        self._reader = reader
        self._episodes = reader.episodes(split)
        episodes, starts = reader.clip_starts(NUM_SEEN, split)
        self._places: Int32[np.ndarray, "n 2"] = np.stack([episodes, starts], axis=1)
        paid = np.zeros(len(starts), np.float32)
        for index, row in enumerate(self._episodes):
            own = episodes == index
            paid[own] = reader.steps(row.episode_id).reward[starts[own] + NUM_SEEN - 2]
        self.paid: Float32[np.ndarray, " n"] = paid

    def read(self, numbers: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Frames (b, t, h, w, c) uint8, the action (b) that led to the last of them, and its reward (b)."""
        places = self._places[numbers].tolist()
        clips = [self._reader.read(self._episodes[at].episode_id, start, NUM_SEEN) for at, start in places]
        frames = array_to_tensor(np.stack([clip.frames for clip in clips]))
        act = array_to_tensor(np.array([clip.action[-2] for clip in clips], np.int64))
        return frames, act, array_to_tensor(self.paid[numbers])


class RewardObjective:
    """Cross-entropy of the reward, drawn so that rare ones come often."""

    def __init__(self, head: RewardHead, clips: RewardClips, settings: RewardFitSettings, seed: int) -> None:
        self.module: nn.Module = head
        self.matrices: list[nn.Parameter] = []
        self._head, self._clips, self._settings, self._seed = head, clips, settings, seed
        nearest = two_hot(array_to_tensor(clips.paid), head.values.cpu()).argmax(1).numpy()
        counts = np.bincount(nearest, minlength=len(head.values))
        self._numbers = [np.flatnonzero(nearest == value) for value in range(len(counts))]
        root = np.sqrt(counts)
        self._shares = root / root.sum()
        is_there = counts > 0
        ratio = np.where(is_there, counts / counts.sum(), 1.0) / np.where(is_there, self._shares, 1.0)
        self.correction = array_to_tensor(np.log(ratio).astype(np.float32))
        """What the logits lack because rare rewards were drawn too often."""
        self._batches = Prefetcher(self._draw, settings.num_steps)

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss of one batch, in nats a frame."""
        frames, act, paid = self._batches(train_step)
        rows = split_rows(len(paid), generator)
        values = self._head.values
        logits = self._head(last_seen(frames[rows].to(values.device)), act[rows].to(values.device))
        wanted = two_hot(paid[rows].to(values.device), values)
        return {"loss": row_share(generator) * functional.cross_entropy(logits, wanted)}

    def close(self) -> None:
        """Stop drawing ahead."""
        self._batches.close()

    def _draw(self, train_step: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng(derive_seed(self._seed, "batch", train_step))
        drawn = rng.choice(len(self._shares), self._settings.batch_size, p=self._shares)
        return self._clips.read(np.array([rng.choice(self._numbers[value]) for value in drawn]))


def reward_values(paid: Float32[np.ndarray, " n"], max_values: int) -> Float32[np.ndarray, " k"]:
    """The rewards of a dataset, ascending; evenly spaced ones instead if there are more than `max_values`."""
    values = np.unique(paid)
    if len(values) > max_values:
        values = np.linspace(values[0], values[-1], max_values, dtype=np.float32)
    return values


def two_hot(paid: Float32[Tensor, " b"], values: Float32[Tensor, " k"]) -> Float32[Tensor, "b k"]:
    """Weights of the two neighbours among `values` that a reward is between; of one that it equals, 1."""
    if len(values) == 1:
        return values.new_ones(len(paid), 1)
    above = torch.searchsorted(values, paid.contiguous()).clamp(1, len(values) - 1)
    low, high = values[above - 1], values[above]
    share = ((paid - low) / (high - low)).clamp(0.0, 1.0)[:, None]
    hot = functional.one_hot(torch.stack([above - 1, above]), len(values)).to(values.dtype)
    return hot[0] * (1 - share) + hot[1] * share
