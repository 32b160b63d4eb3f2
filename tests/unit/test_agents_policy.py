"""Policies: scores by hand, round trips through files, damage, survival trials."""

from __future__ import annotations

import numpy as np
import pytest

from tests.agent_policies import flapping_policy, rule_policy, save_policies
from worldgen_core.agents.policy import Policy, load_policies, load_policy, save_policy
from worldgen_core.agents.trial import survived_frames
from worldgen_core.errors import CheckpointError
from worldgen_core.games.flappy import GAME
from worldgen_core.games.flappy_rules import rule
from worldgen_core.games.flappy_simulator import FlappySimulator


def test_scores_by_hand():
    weights = (np.array([[1, 0], [0, 2]], np.float32), np.array([[1], [-1]], np.float32))
    biases = (np.array([0, 1], np.float32), np.array([0.5], np.float32))
    scores = Policy("p", weights, biases).scores(np.array([3, -1], np.float32))
    assert scores == pytest.approx(np.tanh(3) - np.tanh(-1) + 0.5)


def test_probabilities_are_a_softmax():
    policy = Policy("p", (np.zeros((6, 2), np.float32),), (np.array([0, np.log(3)], np.float32),))
    np.testing.assert_allclose(policy.probabilities(np.zeros(6, np.float32)), [0.25, 0.75], rtol=1e-6)
    assert policy.best_action(np.zeros((4, 6), np.float32)).tolist() == [1, 1, 1, 1]


def test_a_policy_survives_its_file(tmp_path):
    save_policy(tmp_path, rule_policy(), {"survivors": 3})
    loaded = load_policy(tmp_path, "best")
    for one, other in zip(
        loaded.weights + loaded.biases, rule_policy().weights + rule_policy().biases, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_best_and_weaker_policies_are_told_apart(tmp_path):
    best, weaker = load_policies(save_policies(tmp_path))
    assert best.name == "best"
    assert [policy.name for policy in weaker] == ["level-1"]


@pytest.mark.parametrize("damage", ["truncated", "missing", "version"])
def test_a_damaged_policy_is_one_clear_error(tmp_path, damage):
    save_policies(tmp_path)
    path = tmp_path / "best.safetensors"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:20])
    elif damage == "missing":
        path.unlink()
    else:
        card = tmp_path / "best.json"
        card.write_text(card.read_text().replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(CheckpointError, match="train the agent again"):
        load_policy(tmp_path, "best")


def test_survival_counts_frames_before_the_crash():
    survived = survived_frames(GAME, flapping_policy().best_action, [0, 1], 200)
    alone = []
    for seed in (0, 1):
        simulator, frames = FlappySimulator(seed), 1
        while not simulator.advance(1)[1]:
            frames += 1
        alone.append(frames)
    assert survived.tolist() == alone


def test_a_survivor_counts_the_whole_length():
    assert survived_frames(GAME, rule_policy().best_action, [5], 120).tolist() == [120]


def test_the_linear_policy_is_the_rule():
    simulator = FlappySimulator(5)
    for _ in range(200):
        state = simulator.state
        action = rule(state, 8.0)
        if state.openings:
            assert int(rule_policy().best_action(GAME.features(state))) == action
        simulator.advance(action)
