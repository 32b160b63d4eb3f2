"""The order of training clips: pure, each clip once an epoch, ranks apart, well mixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.clips import batch_indices
from storage.order import permute

RUNS = settings(max_examples=30, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**31)


@RUNS
@given(st.integers(1, 100), st.integers(2, 20), st.integers(1, 4), SEEDS)
def test_all_ranks_together_see_each_clip_once_an_epoch(
    num_clips: int, batch_size: int, world_size: int, seed: int
) -> None:
    num_steps = -(-2 * num_clips // (batch_size * world_size))
    order = np.concatenate(
        [
            batch_indices(num_clips, batch_size, seed=seed, train_step=step, rank=rank, world_size=world_size)
            for step in range(num_steps)
            for rank in range(world_size)
        ]
    )
    assert sorted(order[:num_clips]) == list(range(num_clips))
    assert sorted(order[num_clips : 2 * num_clips]) == list(range(num_clips))


@RUNS
@given(st.integers(1, 10**9), st.integers(1, 20), st.integers(0, 10**6), SEEDS)
def test_a_batch_is_a_pure_function(num_clips: int, batch_size: int, step: int, seed: int) -> None:
    first = batch_indices(num_clips, batch_size, seed=seed, train_step=step)
    again = batch_indices(num_clips, batch_size, seed=seed, train_step=step)
    assert first.dtype == np.int64
    assert ((first >= 0) & (first < num_clips)).all()
    np.testing.assert_array_equal(first, again)


@RUNS
@given(st.integers(64, 10**6), st.integers(1, 8), st.integers(2, 8), SEEDS)
def test_ranks_are_disjoint_within_an_epoch_and_split_one_large_batch(
    num_clips: int, batch_size: int, world_size: int, seed: int
) -> None:
    ranks = [
        batch_indices(num_clips, batch_size, seed=seed, train_step=0, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    together = np.concatenate(ranks)
    assert len(set(together.tolist())) == batch_size * world_size
    np.testing.assert_array_equal(
        together, batch_indices(num_clips, batch_size * world_size, seed=seed, train_step=0)
    )


def test_seeds_and_epochs_give_other_orders() -> None:
    positions = np.arange(1000)
    orders = [permute(positions, 1000, seed=seed, epoch=epoch) for seed in range(3) for epoch in range(3)]
    assert len({order.tobytes() for order in orders}) == 9
    for order in orders:
        assert sorted(order) == list(range(1000))


def test_the_order_is_well_mixed() -> None:
    order = permute(np.arange(10_000), 10_000, seed=0, epoch=0)
    assert abs(np.corrcoef(np.arange(10_000), order)[0, 1]) < 0.04  # four standard deviations
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.04


def test_small_permutations_are_near_uniform() -> None:
    counts = np.zeros((5, 5))
    for epoch in range(600):
        counts[np.arange(5), permute(np.arange(5), 5, seed=1, epoch=epoch)] += 1
    assert abs(counts / 600 - 0.2).max() < 0.08  # 4.9 standard deviations


def test_golden_order() -> None:
    """The order is part of what a training run's digest depends on: changing it is a decision."""
    batch = batch_indices(1_000_000, 4, seed=7, train_step=123)
    assert batch.tolist() == [29001, 573141, 84035, 204457]


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_clips": 0},
        {"batch_size": 0},
        {"train_step": -1},
        {"rank": 1},
        {"rank": -1},
    ],
)
def test_nonsense_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no batch of"):
        batch_indices(**{"num_clips": 10, "batch_size": 2, "seed": 0, "train_step": 0, **arguments})
