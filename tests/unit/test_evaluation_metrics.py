"""PSNR, SSIM, sharpness and the kernel distance against values worked out by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from worldgen_core.evaluation.image_metrics import psnr, sharpness, ssim
from worldgen_core.evaluation.kernel_distance import kernel_distance, random_features


def noise(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, 32, 24, 3), dtype=np.uint8)


def test_psnr_of_a_constant_error() -> None:
    truth = np.full((2, 8, 8, 3), 100, dtype=np.uint8)
    frames = truth.copy()
    frames[1] += 5
    values = psnr(frames, truth)
    assert values[0] == pytest.approx(60)
    assert values[1] == pytest.approx(20 * math.log10(255 / 5))


def test_ssim_of_equal_frames_is_one_and_of_shifted_brightness_follows_the_formula() -> None:
    frames = noise(2)
    np.testing.assert_allclose(ssim(frames, frames), 1, atol=1e-6)
    dark, light = (np.full((1, 20, 20, 3), level, dtype=np.uint8) for level in (100, 120))
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ssim(dark, light)[0] == pytest.approx(expected, rel=1e-4)


def test_ssim_of_unrelated_noise_is_small() -> None:
    assert abs(ssim(noise(1, 1), noise(1, 2))[0]) < 0.2


def test_sharpness_counts_steps_and_falls_with_blur() -> None:
    stripes = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    stripes[:, :, ::2] = 200
    # Every step across is 200 of luma, none down.
    assert sharpness(stripes)[0] == pytest.approx(100, rel=1e-5)
    frames = noise(1)
    blurred = cv2.GaussianBlur(frames[0], (5, 5), 1.5)[None]
    assert sharpness(blurred)[0] < 0.5 * sharpness(frames)[0]


def test_kernel_distance_by_hand() -> None:
    a = np.array([[1.0], [2.0]], dtype=np.float32)
    b = np.array([[0.0], [1.0]], dtype=np.float32)
    # Kernel (xy + 1)³: within a 27, within b 1, across (1 + 8 + 1 + 27) / 4.
    assert kernel_distance(a, b) == pytest.approx(27 + 1 - 2 * 37 / 4)


def test_kernel_distance_is_near_zero_for_alike_sets_and_grows_with_blur() -> None:
    features = random_features(noise(40), seed=3)
    np.testing.assert_array_equal(features, random_features(noise(40), seed=3))
    blurred = np.stack([cv2.GaussianBlur(frame, (3, 3), 1) for frame in noise(40)])
    scale = features.std(axis=0)
    alike = kernel_distance(features[::2] / scale, features[1::2] / scale)
    unlike = kernel_distance(features[::2] / scale, random_features(blurred, seed=3)[1::2] / scale)
    assert unlike > 100 * abs(alike)
