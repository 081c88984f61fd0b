"""The noisy (NM) and randomly missing (RMM) protocols of Liao et al., arXiv 2503.18445."""
from __future__ import annotations

import numpy as np

from rsgmamba_ros.data.corruptions.fields import span_of

#: Share of salt and pepper, and sigma of the Gaussian as a share of the full range.
NOISE_LEVELS = {'low': (0.05, 0.1), 'mid': (0.1, 0.2), 'high': (0.2, 0.5)}


def add_noise(image: np.ndarray, level: str, *, rng: np.random.Generator) -> np.ndarray:
    """Salt and pepper plus Gaussian noise (NM) on an RGB (H, W, 3) uint8 or a depth or thermal (H, W) float32 image.

    The full range is 0..255 for RGB, otherwise that between the image's 2nd and 98th percentile. NaN stays NaN.
    """
    share, sigma = NOISE_LEVELS[level]
    low, span = (0.0, 255.0) if image.dtype == np.uint8 else span_of(image)
    noisy: np.ndarray = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sigma * span)
    draw = rng.random(image.shape[:2], dtype=np.float32)
    noisy[draw < share / 2] = low
    noisy[draw > 1 - share / 2] = low + span
    if image.dtype == np.uint8:
        clipped: np.ndarray = np.clip(np.round(noisy), 0, 255)
        return clipped.astype(np.uint8)
    return np.where(np.isnan(image), image, np.clip(noisy, np.float32(low), np.float32(low + span)))


def drop_pixels(image: np.ndarray, share: float, *, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels absent (RMM): 0 in all channels of RGB, NaN otherwise; with the mask of them, (H, W) bool."""
    mask = rng.random(image.shape[:2], dtype=np.float32) < share
    result = image.copy()
    result[mask] = 0 if image.dtype == np.uint8 else np.nan
    return result, mask
