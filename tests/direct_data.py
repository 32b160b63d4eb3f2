"""A tiny scrolling world as a dataset, for tests of training: bars move left, a ball falls and jumps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from storage.records import DatasetInfo, Episode
from storage.shards import write_dataset
from worldgen_core.models.card import WEIGHTS_FILE, ModelCard, count_parameters, write_card, write_weights
from worldgen_core.models.direct_network import DirectArchitecture, DirectNetwork
from worldgen_core.models.reward_head_settings import RewardHeadSettings
from worldgen_core.training.direct_settings import DirectSettings
from worldgen_core.training.loop_settings import LoopSettings
from worldgen_core.training.phases import UnrollPhase
from worldgen_core.training.prior_settings import PriorFitSettings
from worldgen_core.training.reward_settings import RewardFitSettings

HEIGHT, WIDTH = 32, 24
TINY_REWARD = RewardFitSettings(head=RewardHeadSettings(width=4), batch_size=8, num_steps=3)
INFO = DatasetInfo("flappy", "tiny", HEIGHT, WIDTH, 30.0, ("idle", "flap"))


def make_episode(seed: int, *, num_frames: int = 60, life: int = 20) -> Episode:
    """Lives of `life` frames of the scrolling world; a bar that has come half way pays."""
    rng = np.random.default_rng(seed)
    frames = np.full((num_frames, HEIGHT, WIDTH, 3), (80, 180, 220), np.uint8)
    action = rng.integers(0, 2, num_frames)
    terminated, reward = np.zeros(num_frames, bool), np.full(num_frames, 0.1, np.float32)
    height, speed = 10, 0
    for t in range(num_frames):
        bar = WIDTH - 1 - (t + 7 * seed) % WIDTH
        reward[t - 1] = 1.0 if t and bar == WIDTH // 2 else reward[t - 1]
        frames[t, : 8 + 4 * (seed % 3), bar : bar + 3] = (90, 200, 60)
        speed = -3 if t and action[t - 1] else min(speed + 1, 3)
        height = int(np.clip(height + speed, 0, HEIGHT - 4))
        frames[t, height : height + 4, 6:10] = (230, 200, 40)
        terminated[t] = t % life == life - 1
    return Episode(
        episode_id=f"e{seed}",
        source=f'{{"seed":{seed}}}',
        split="train" if seed % 4 else "validation",
        frames=frames,
        action=action.astype(np.int64),
        reward=reward,
        terminated=terminated,
        truncated=np.zeros(num_frames, bool),
        pts=np.arange(num_frames),
        source_frame=np.arange(num_frames),
    )


def make_dataset(folder: Path, num_episodes: int = 6) -> Path:
    """Write the tiny dataset and return its folder."""
    write_dataset(folder, INFO, (make_episode(seed) for seed in range(num_episodes)))
    return folder


def tiny_settings(num_steps: int = 6) -> DirectSettings:
    """Trains in a second on the tiny dataset."""
    half = num_steps // 2
    return DirectSettings(
        architecture=DirectArchitecture(channels=(8, 16), num_blocks=(1, 1, 1), condition=8, memory=2),
        phases=(
            UnrollPhase(unroll=1, batch_size=3, num_steps=half),
            UnrollPhase(unroll=4, batch_size=2, num_steps=num_steps - half),
        ),
        prior=PriorFitSettings(num_examples=40, unroll=2, num_windows=4, batch_size=8, num_steps=4),
        reward=TINY_REWARD,
        loop=LoopSettings(
            warmup_steps=1, checkpoint_every=2, log_every=3, num_threads=1, device="cpu", ema_decay=0.5
        ),
    )


def write_direct_model(folder: Path, network: DirectNetwork, *, model: str = "direct") -> Path:
    """A model folder with these weights."""
    folder.mkdir(parents=True, exist_ok=True)
    arch = network.arch
    card = ModelCard(
        model=model,
        game="flappy",
        action_names=("idle", "flap"),
        height=arch.block * network.grid[0],
        width=arch.block * network.grid[1],
        fps=30.0,
        settings=arch.model_dump(mode="json"),
        num_parameters=count_parameters(network),
        dataset={"name": "tiny"},
        training={},
        weights_sha256={WEIGHTS_FILE: write_weights(folder, network.state_dict())},
    )
    write_card(folder, card)
    return folder
