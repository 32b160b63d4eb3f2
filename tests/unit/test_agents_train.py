"""Stage train_agent: reproducible, plays without the trainer, keeps a range of skills."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from worldgen_core.agents.curve import Evaluation
from worldgen_core.agents.policy import Policy, load_policies, load_policy
from worldgen_core.agents.settings import AgentSettings
from worldgen_core.agents.train import (
    Candidate,
    choose_weaker,
    extract_policy,
    make_bolder,
    make_learner,
    train_agent,
)
from worldgen_core.agents.vector_env import SimulatorVecEnv
from worldgen_core.games.flappy import GAME
from worldgen_core.progress import EventList, silent

SETTINGS = AgentSettings(
    game="flappy",
    num_envs=4,
    steps_per_rollout=64,
    batch_size=64,
    num_epochs=2,
    hidden=(16,),
    budget_env_steps=768,
    evaluate_every=256,
    evaluation_episodes=3,
    evaluation_length=60,
    num_weaker=2,
)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_same_settings_give_the_same_bytes(tmp_path):
    events = EventList()
    for name, progress in (("one", events), ("other", silent)):
        outcome = train_agent(SETTINGS, out=tmp_path / name, resume=tmp_path / f"{name}-r", progress=progress)
    assert digests(tmp_path / "one") == digests(tmp_path / "other")
    assert [event.done for event in events.events] == [0, 256, 512, 768]
    rows = (tmp_path / "one" / "learning_curve.jsonl").read_text().splitlines()
    assert [json.loads(row)["env_steps"] for row in rows] == [0, 256, 512, 768]
    assert outcome.metrics["trained_env_steps"] == 768
    best, weaker = load_policies(tmp_path / "one")
    assert best.name == "best"
    assert len(weaker) <= 2


def test_another_seed_gives_another_policy(tmp_path):
    for seed in (0, 1):
        settings = SETTINGS.model_copy(update={"seed": seed, "budget_env_steps": 256})
        train_agent(settings, out=tmp_path / str(seed), resume=tmp_path / f"r{seed}", progress=silent)
    one, other = (load_policy(tmp_path / str(seed), "best") for seed in (0, 1))
    assert not np.array_equal(one.weights[0], other.weights[0])


def test_training_ends_when_it_is_good_enough(tmp_path):
    settings = SETTINGS.model_copy(update={"good_enough": 0})
    outcome = train_agent(settings, out=tmp_path / "out", resume=tmp_path / "resume", progress=silent)
    assert outcome.metrics["trained_env_steps"] == 0


def test_the_copied_policy_is_the_learners():
    learner = make_learner(SETTINGS, GAME)
    features = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    with torch.no_grad():
        logits = learner.policy.get_distribution(torch.from_numpy(features)).distribution.logits  # pyright: ignore[reportAttributeAccessIssue]  # categorical here
    probabilities = torch.softmax(logits, -1).numpy()
    np.testing.assert_allclose(extract_policy(learner).probabilities(features), probabilities, atol=1e-6)


def test_a_bolder_policy_presses_earlier_and_is_otherwise_the_same():
    policy = Policy("p", (np.zeros((6, 3), np.float32),), (np.array([0.3, 0.0, -1.0], np.float32),))
    assert policy.best_action(np.zeros((1, 6), np.float32)).tolist() == [0]
    bolder = make_bolder(policy, 0.4)
    assert bolder.biases[0] == pytest.approx([0.3, 0.4, -0.6])
    assert policy.biases[0][1] == 0


def candidate(steps: int, survivors: int, mean_frames: float) -> Candidate:
    policy = extract_policy(make_learner(SETTINGS, GAME))
    return Candidate(policy, Evaluation(steps, survivors, mean_frames))


def test_weaker_policies_are_spread_over_the_skills():
    skills = [31.0, 40.0, 120.0, 390.0, 410.0, 600.0, 790.0]
    candidates = [candidate(i, int(skill // 100), skill) for i, skill in enumerate(skills)]
    chosen = choose_weaker(candidates, candidates[-1], 3)
    assert [c.evaluation.mean_frames for c in chosen] == [120.0, 390.0, 600.0]


def test_nothing_weaker_than_the_first_is_no_error():
    only = candidate(0, 0, 31.0)
    assert choose_weaker([only], only, 3) == []


def test_the_vector_environment_starts_new_lives_by_itself():
    env = SimulatorVecEnv(GAME, 2, seed=0)
    first = env.reset()
    assert first.shape == (2, 6)
    for _ in range(30):
        env.step_async(np.array([0, 1]))
        env.step_wait()
    env.step_async(np.array([0, 1]))
    features, rewards, dones, infos = env.step_wait()
    assert dones.tolist() == [True, False]
    assert rewards[0] == -1
    assert infos[0]["terminal_observation"][5] > 1.6
    assert features[0][5] == pytest.approx(0.56)
