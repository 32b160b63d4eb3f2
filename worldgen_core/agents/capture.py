"""Stage `capture`: records episodes of a simulated game with aligned actions.

Two modes. `diverse` (the default) mixes skill levels and exploration as worldgen_core/agents/players.py
describes; every episode has the same length and holds several lives. `strict` is the best agent alone: an
episode is one life that lasts the whole length, and further games are tried until there are enough of them.

A unit is an episode, kept as one file under `resume` as soon as it is finished; a rerun plays only what is
missing. Nothing depends on the order in which episodes are played. One core records two thousand frames a
second, so there are no worker processes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storage.errors import ShardCorruptError
from storage.npz import read_episode, write_episode
from storage.records import DatasetInfo, Episode, Split
from storage.shards import write_dataset
from storage.splits import assign_splits
from worldgen_core.agents.episodes import make_episode, record
from worldgen_core.agents.players import Cast, Relay, policy_chooser
from worldgen_core.agents.policy import load_policies
from worldgen_core.agents.settings import CaptureSettings
from worldgen_core.agents.summary import Summary
from worldgen_core.errors import ConfigError
from worldgen_core.games.base import TrueState
from worldgen_core.games.catalogue import get_game
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent
from worldgen_core.seeds import derive_seed

log = logging.getLogger(__name__)

SAMPLE_FILE = "sample.png"


@dataclass(frozen=True)
class _Unit:
    """One episode to be recorded; all its chance derives from `seed`."""

    episode_id: str
    split: Split
    seed: int


def capture(
    settings: CaptureSettings, policies: Path, *, out: Path, resume: Path, progress: Progress
) -> Outcome:
    """Record a dataset into `out`; finished episodes are kept in `resume`.

    Raises: ConfigError in `strict` mode if too few games reach the wanted length; CheckpointError for damaged
    policies.
    """
    started = time.monotonic()
    game = get_game(settings.game)
    best, weaker = load_policies(policies)
    cast = Cast(game, best, weaker)
    units = _plan(settings, cast, progress)
    resume.mkdir(parents=True, exist_ok=True)
    num_kept = _play_missing(settings, cast, units, resume, progress)
    summary = Summary(len(units))
    info = DatasetInfo(
        game=game.name,
        name=settings.dataset_name,
        height=game.height,
        width=game.width,
        fps=float(game.fps),
        action_names=game.action_names,
    )
    episodes = (_load(settings, cast, unit, resume) for unit in units)
    write_dataset(out, info, summary.watch(episodes), format=settings.shard_format)
    summary.write_samples(out / SAMPLE_FILE)
    notes = {"seconds": round(time.monotonic() - started, 1), "episodes_kept_from_before": num_kept}
    return Outcome(summary.metrics(), notes, summary.headline(), (SAMPLE_FILE,))


# The plan


def _plan(settings: CaptureSettings, cast: Cast, progress: Progress) -> list[_Unit]:
    ids = [
        f"{settings.game}-{settings.mode}-r{settings.round:03d}-{index:05d}"
        for index in range(settings.num_episodes)
    ]
    splits = assign_splits(
        ids, validation_share=settings.validation_share, seed=derive_seed(settings.seed, "split")
    )
    if settings.mode == "strict":
        seeds = _surviving_seeds(settings, cast, progress)
    else:
        seeds = [_unit_seed(settings, index) for index in range(settings.num_episodes)]
    return [_Unit(name, splits[name], seed) for name, seed in zip(ids, seeds, strict=True)]


def _unit_seed(settings: CaptureSettings, index: int) -> int:
    return derive_seed(settings.seed, "capture", settings.mode, settings.round, index)


def _surviving_seeds(settings: CaptureSettings, cast: Cast, progress: Progress) -> list[int]:
    """Seeds of the first games that the best policy survives for the whole length."""
    limit = settings.num_episodes * settings.seed_limit
    found: list[int] = []
    for index in range(limit):
        seed = _unit_seed(settings, index)
        if _survives(settings, cast, seed):
            found.append(seed)
            progress(ProgressEvent("games survived", len(found), settings.num_episodes))
        if len(found) == settings.num_episodes:
            return found
    raise ConfigError(
        f"capture.mode strict: the best policy survives too few games of {settings.episode_length} frames",
        expected=f"{settings.num_episodes} survived games within {limit} tries",
        found=f"{len(found)}",
        next_step="train a better agent (agent.budget_env_steps), ask for shorter episodes "
        "(capture.episode_length), or allow more tries (capture.seed_limit)",
    )


def _survives(settings: CaptureSettings, cast: Cast, seed: int) -> bool:
    simulator = cast.game.make_simulator(seed)
    choose = policy_chooser(cast.game, cast.best)
    return not any(simulator.advance(choose(simulator.state))[1] for _ in range(settings.episode_length - 1))


# Playing


def _play_missing(
    settings: CaptureSettings, cast: Cast, units: list[_Unit], resume: Path, progress: Progress
) -> int:
    """Play and keep every episode that is not there yet; returns how many were."""
    missing = [unit for unit in units if not _path(resume, unit).exists()]
    num_kept = len(units) - len(missing)
    started = time.monotonic()
    for num_played, unit in enumerate(missing, start=1):
        write_episode(_path(resume, unit), _play(settings, cast, unit))
        rate = num_played / max(time.monotonic() - started, 1e-9)
        progress(ProgressEvent("episodes", num_kept + num_played, len(units), rate))
    return num_kept


def _path(resume: Path, unit: _Unit) -> Path:
    return resume / f"{unit.episode_id}.npz"


def _load(settings: CaptureSettings, cast: Cast, unit: _Unit, resume: Path) -> Episode:
    """A kept episode; one that was damaged since is played again."""
    try:
        return read_episode(_path(resume, unit))
    except ShardCorruptError as error:
        log.warning("a kept episode is damaged and is played again: %s", error)
        return _play(settings, cast, unit)


@dataclass
class _Alone:
    """One player throughout."""

    choose: Callable[[TrueState], int]

    def start_life(self) -> None:
        """Nothing to prepare."""

    def act(self, frame_index: int, state: TrueState) -> int:  # noqa: ARG002 (every frame is alike)
        """The player's action."""
        return self.choose(state)


def _play(settings: CaptureSettings, cast: Cast, unit: _Unit) -> Episode:
    game, length = cast.game, settings.episode_length
    facts: dict[str, Any] = {"mode": settings.mode, "round": settings.round}
    if settings.mode == "strict":
        performer = _Alone(policy_chooser(game, cast.best))
        recording = record(game, performer, [unit.seed], length)
        facts["players"] = [(0, "best")]
    else:
        rng = np.random.default_rng(derive_seed(unit.seed, "players"))
        relay = Relay(cast, settings.mixture, rng, blind_lives=settings.blind_lives)
        seeds = (derive_seed(unit.seed, "life", life) for life in range(length))
        recording = record(game, relay, seeds, length)
        facts["players"] = relay.turns
    return make_episode(recording, episode_id=unit.episode_id, split=unit.split, game=game, facts=facts)
