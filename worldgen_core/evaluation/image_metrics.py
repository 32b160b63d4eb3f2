"""PSNR and SSIM of pictures with 256 levels.

PSNR is 10·log10(255² / mean squared error), SSIM is that of Wang et al. 2004 (doi:10.1109/TIP.2003.819861):
Gaussian window of 11 pixels with deviation 1.5, on luma, borders left out.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_BORDER = 5


def psnr(
    frames: UInt8[np.ndarray, "n h w c"], truth: UInt8[np.ndarray, "n h w c"]
) -> Float64[np.ndarray, " n"]:
    """PSNR of every frame in dB; equal frames give 60 dB, so that means stay finite."""
    difference = frames.astype(np.float32) - truth.astype(np.float32)
    error = np.maximum((difference**2).mean(axis=(1, 2, 3), dtype=np.float64), 255.0**2 / 1e6)
    return 10 * np.log10(255.0**2 / error)


def ssim(
    frames: UInt8[np.ndarray, "n h w c"], truth: UInt8[np.ndarray, "n h w c"]
) -> Float64[np.ndarray, " n"]:
    """Mean structural similarity of every frame, 1 for equal frames."""
    pairs = zip(luma(frames), luma(truth), strict=True)
    return np.array([_ssim_of_pair(a, b) for a, b in pairs], dtype=np.float64)


def luma(frames: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n h w"]:
    """Brightness as the eye weighs it, 0 to 255."""
    return frames.astype(np.float32) @ _LUMA


def sharpness(frames: UInt8[np.ndarray, "n h w c"]) -> Float64[np.ndarray, " n"]:
    """Mean absolute step between neighbouring pixels: falls when pictures blur, rises when they crumble."""
    picture = luma(frames)
    across = np.abs(np.diff(picture, axis=2)).mean(axis=(1, 2), dtype=np.float64)
    down = np.abs(np.diff(picture, axis=1)).mean(axis=(1, 2), dtype=np.float64)
    return (across + down) / 2


def _blur(picture: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    return np.asarray(cv2.GaussianBlur(picture, (11, 11), 1.5), dtype=np.float32)


def _ssim_of_pair(a: Float32[np.ndarray, "h w"], b: Float32[np.ndarray, "h w"]) -> float:
    mean_a, mean_b = _blur(a), _blur(b)
    var_a = _blur(a * a) - mean_a**2
    var_b = _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    similarity = numerator / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))
    return float(similarity[_BORDER:-_BORDER, _BORDER:-_BORDER].mean(dtype=np.float64))
