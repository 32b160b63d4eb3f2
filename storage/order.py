"""The order in which clips are trained on: a pure function of seed and training step.

No shuffle buffer, no state: a resumed run and every data-parallel rank compute their own batch, and together
they see each clip exactly once an epoch. The permutation is a Feistel network over the clip numbers with
cycle walking (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"), so that its memory does not
grow with the dataset either.
"""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int64

_NUM_ROUNDS = 6
_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)  # from SplitMix64's finaliser


def batch_indices(
    num_clips: int, batch_size: int, *, seed: int, train_step: int, rank: int = 0, world_size: int = 1
) -> Int64[np.ndarray, " b"]:
    """The clip numbers, 0 to num_clips - 1, of one rank's batch at one training step.

    Laid end to end over ranks and then steps, the batches are one random permutation of all clips after
    another; a batch goes on into the next epoch where one ends. Ranks never share a clip within an epoch.
    """
    if num_clips < 1 or batch_size < 1 or not 0 <= rank < world_size or train_step < 0:
        raise ValueError(
            f"no batch of {batch_size} of {num_clips} clips at step {train_step}, rank {rank}/{world_size}"
        )
    first = (train_step * world_size + rank) * batch_size
    position = np.arange(first, first + batch_size, dtype=np.int64)
    epoch = position // num_clips
    batch = np.empty(batch_size, np.int64)
    for number in np.unique(epoch):
        in_epoch = epoch == number
        batch[in_epoch] = permute(position[in_epoch] % num_clips, num_clips, seed=seed, epoch=int(number))
    return batch


def permute(
    position: Int64[np.ndarray, " n"], num_clips: int, *, seed: int, epoch: int
) -> Int64[np.ndarray, " n"]:
    """Map positions in an epoch, 0 to num_clips - 1, one to one onto clip numbers of the same range."""
    half_bits = max(2, (max(1, num_clips - 1).bit_length() + 1) // 2)
    keys = np.frombuffer(hashlib.sha512(f"{seed}/{epoch}".encode()).digest(), "<u8")[:_NUM_ROUNDS]
    value = _feistel(position.astype(np.uint64), half_bits, keys)
    while (outside := value >= num_clips).any():  # walking along the cycle ends inside the range
        value[outside] = _feistel(value[outside], half_bits, keys)
    return value.astype(np.int64)


def _feistel(value: np.ndarray, half_bits: int, keys: np.ndarray) -> np.ndarray:
    bits, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = value >> bits, value & mask
    for key in keys:
        mixed = (right + key) * _MULTIPLIER
        mixed = (mixed ^ (mixed >> np.uint64(29))) * _MULTIPLIER
        left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
    return (left << bits) | right
