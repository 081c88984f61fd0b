"""Corruptions of thermal images, (H, W) float32 in any linear unit; NaN stays NaN.

Amounts are shares of the span of temperatures in the image, since cameras scale to it and units differ. Our own.
"""
from __future__ import annotations

import numpy as np

from rsgmamba_ros.data.corruptions.fields import smooth_field, span_of

_NOISE_SIGMA = (0.03, 0.06, 0.1, 0.16, 0.25)
_STRIPE_SIGMA = (0.02, 0.05, 0.1, 0.15, 0.2)
_DRIFT = (0.05, 0.1, 0.15, 0.2, 0.3)
_FIELD_AMPLITUDE = (0.05, 0.1, 0.2, 0.3, 0.45)
_SPAN_LEFT = (0.8, 0.6, 0.45, 0.3, 0.15)

_Result = tuple[np.ndarray, None]


def thermal_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Independent noise in every pixel."""
    _, span = span_of(image)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return image + noise * np.float32(_NOISE_SIGMA[severity - 1] * span), None


def stripes(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Fixed-pattern noise: one offset a column."""
    _, span = span_of(image)
    offsets = rng.standard_normal((1, image.shape[1]), dtype=np.float32)
    return image + offsets * np.float32(_STRIPE_SIGMA[severity - 1] * span), None


def gain_drift(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Gain and offset off by the same share, each up or down."""
    low, span = span_of(image)
    drift = _DRIFT[severity - 1]
    gain, offset = (drift * (1 if rng.random() < 0.5 else -1) for _ in range(2))
    middle = np.float32(low + span / 2)
    return (image - middle) * np.float32(1 + gain) + middle + np.float32(offset * span), None


def low_frequency_drift(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """A smooth bump over the whole image, as from a warm lens or housing."""
    _, span = span_of(image)
    return image + smooth_field(image.shape, rng, cells=3) * np.float32(_FIELD_AMPLITUDE[severity - 1] * span), None


def saturation(image: np.ndarray, severity: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Only a part of the span is resolved; what is hotter or colder is clipped."""
    low, span = span_of(image)
    left = _SPAN_LEFT[severity - 1]
    bottom = low + span * (1 - left) * rng.uniform(0.0, 1.0)
    top = bottom + span * left
    return np.clip(image, np.float32(bottom), np.float32(top)), (image < bottom) | (image > top)
