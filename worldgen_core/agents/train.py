"""Stage `train_agent`: PPO (stable-baselines3) on the game's features, evaluated as it learns, the best kept.

PPO does not improve steadily, and with time it declines: 30 evaluation games, always the same, decide which
policy is kept, and training ends as soon as enough of them last the whole length. Policies from along the way
are kept too, because a dataset needs players of every skill. The only module that imports stable-baselines3;
what it writes needs only NumPy.

Training takes a minute, so a killed run starts again; `resume` shows the evaluations of the run so far.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from torch import nn

from worldgen_core.agents.curve import PICTURE_FILE, Evaluation, draw_curve, write_curve
from worldgen_core.agents.policy import BEST, Policy, save_policy
from worldgen_core.agents.settings import AgentSettings
from worldgen_core.agents.trial import survived_frames
from worldgen_core.agents.vector_env import SimulatorVecEnv
from worldgen_core.games.base import Game
from worldgen_core.games.catalogue import get_game
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent
from worldgen_core.seeds import derive_seed
from worldgen_core.threads import cpu_threads

FINAL_RATE_SHARE = 0.02
"""The learning rate at the end of the budget; falling more slowly, policies unlearn steep descents again."""
BOLDNESS = (0.0, 0.4)
"""Tried in turn: added to the score of every action but idle. A learning policy spreads the chance of a flap
over some frames, so that the most probable action flaps a little late."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A policy from along the way, and how it did."""

    policy: Policy
    evaluation: Evaluation

    @property
    def skill(self) -> tuple[int, float]:
        """Candidates are ranked by survivors, then by frames."""
        return self.evaluation.survivors, self.evaluation.mean_frames


def train_agent(settings: AgentSettings, *, out: Path, resume: Path, progress: Progress) -> Outcome:
    """Train an agent and write the best policy, some weaker ones and the learning curve into `out`.

    Determinism: same settings, same machine type and library versions give the same bytes.
    """
    started = time.monotonic()
    game = get_game(settings.game)
    with cpu_threads(settings.num_threads):
        candidates = _learn(settings, game, resume, progress)
    best = max(candidates, key=lambda candidate: candidate.skill)
    _save(out, BEST, best)
    weaker = choose_weaker(candidates, best, settings.num_weaker)
    for level, candidate in enumerate(weaker, start=1):
        _save(out, f"level-{level}", candidate)
    rows = [candidate.evaluation for candidate in candidates]
    num_games, length = settings.evaluation_episodes, settings.evaluation_length
    write_curve(out, rows)
    draw_curve(out, rows, num_games=num_games, episode_length=length)
    reached = best.evaluation
    return Outcome(
        metrics={
            **asdict(reached),
            "num_games": num_games,
            "trained_env_steps": rows[-1].env_steps,
            "weaker_mean_frames": [candidate.evaluation.mean_frames for candidate in weaker],
        },
        notes={"seconds": round(time.monotonic() - started, 1)},
        headline=f"{reached.survivors} of {num_games} games last {length} frames",
        figures=(PICTURE_FILE,),
    )


def _learn(settings: AgentSettings, game: Game, resume: Path, progress: Progress) -> list[Candidate]:
    """Train until an evaluation is good enough or the budget is spent; returns every evaluated policy."""
    seeds = [derive_seed(settings.seed, "evaluation game", i) for i in range(settings.evaluation_episodes)]
    learner = make_learner(settings, game)
    candidates: list[Candidate] = []
    started = time.monotonic()
    while True:
        candidate = _evaluate(settings, game, learner, seeds)
        candidates.append(candidate)
        write_curve(resume, [candidate.evaluation for candidate in candidates])
        rate = learner.num_timesteps / max(time.monotonic() - started, 1e-9)
        survivors, mean_frames = candidate.skill
        figures = {"survivors": float(survivors), "mean_frames": mean_frames}
        progress(
            ProgressEvent("agent steps", learner.num_timesteps, settings.budget_env_steps, rate, figures)
        )
        if survivors >= settings.good_enough or learner.num_timesteps >= settings.budget_env_steps:
            return candidates
        learned = learner.num_timesteps / settings.budget_env_steps
        rate_now = settings.learning_rate * (1 - (1 - FINAL_RATE_SHARE) * learned)
        learner.lr_schedule = lambda _remaining, rate=rate_now: rate
        learner.learn(settings.evaluate_every, reset_num_timesteps=False)


def _evaluate(settings: AgentSettings, game: Game, learner: PPO, seeds: Sequence[int]) -> Candidate:
    """The learner's policy as it stands, as bold as it survives best."""
    policy = extract_policy(learner)
    candidates: list[Candidate] = []
    for boldness in BOLDNESS:
        bolder = make_bolder(policy, boldness)
        frames = survived_frames(game, bolder.best_action, seeds, settings.evaluation_length)
        survivors = int((frames >= settings.evaluation_length).sum())
        evaluation = Evaluation(learner.num_timesteps, survivors, round(float(frames.mean()), 1), boldness)
        candidates.append(Candidate(bolder, evaluation))
        if survivors >= settings.good_enough:
            break
    return max(candidates, key=lambda candidate: candidate.skill)


def make_bolder(policy: Policy, boldness: float) -> Policy:
    """The same policy with `boldness` added to the score of every action but idle."""
    bias = policy.biases[-1].copy()
    bias[1:] += np.float32(boldness)
    return Policy(policy.name, policy.weights, (*policy.biases[:-1], bias))


def make_learner(settings: AgentSettings, game: Game) -> PPO:
    """A PPO learner before its first step."""
    learner = PPO(
        "MlpPolicy",
        SimulatorVecEnv(game, settings.num_envs, settings.seed),
        learning_rate=settings.learning_rate,
        n_steps=settings.steps_per_rollout,
        batch_size=settings.batch_size,
        n_epochs=settings.num_epochs,
        gamma=settings.discount,
        gae_lambda=settings.trace_decay,
        target_kl=settings.max_policy_change,
        ent_coef=settings.entropy_weight,
        policy_kwargs={"net_arch": list(settings.hidden)},
        seed=derive_seed(settings.seed, "agent"),
        device="cpu",
    )
    # Its default logger leaves an empty folder in the system's temporary one every time.
    learner.set_logger(Logger(folder=None, output_formats=[]))
    return learner


def extract_policy(learner: PPO) -> Policy:
    """Copy the policy network (not the value network) out of the learner."""
    network = [*learner.policy.mlp_extractor.policy_net, learner.policy.action_net]
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    weights = (np.ascontiguousarray(layer.weight.detach().numpy().T) for layer in layers)
    biases = (layer.bias.detach().numpy().copy() for layer in layers)
    return Policy("learning", tuple(weights), tuple(biases))


def choose_weaker(candidates: Sequence[Candidate], best: Candidate, num_weaker: int) -> list[Candidate]:
    """Candidates below the best, spread evenly over the survived frames, from the weakest up."""
    left = [candidate for candidate in candidates if candidate.skill < best.skill]
    chosen: list[Candidate] = []
    for level in range(min(num_weaker, len(left))):
        target = best.evaluation.mean_frames * (level + 0.5) / num_weaker
        nearest = min(left, key=lambda candidate: abs(candidate.evaluation.mean_frames - target))
        left.remove(nearest)
        chosen.append(nearest)
    return sorted(chosen, key=lambda candidate: candidate.skill)


def _save(folder: Path, name: str, candidate: Candidate) -> None:
    policy = Policy(name, candidate.policy.weights, candidate.policy.biases)
    save_policy(folder, policy, asdict(candidate.evaluation))
