"""Random fields and spans that several corruptions share."""
from __future__ import annotations

import cv2
import numpy as np


def smooth_field(shape: tuple[int, int], rng: np.random.Generator, *, cells: int) -> np.ndarray:
    """Smooth random field of about unit variance with `cells` bumps on the longer side, (H, W) float32."""
    height, width = shape
    longer = max(height, width)
    grid = (max(2, round(cells * height / longer) + 1), max(2, round(cells * width / longer) + 1))
    field = cv2.resize(rng.standard_normal(grid, dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return field / max(float(field.std()), 1e-6)


def span_of(image: np.ndarray) -> tuple[float, float]:
    """Lower end and length of the values between the 2nd and 98th percentile; (0, 1) if nothing is finite.

    A constant image has the span 1, so that noise on it is still noise.
    """
    step = max(1, int((image.size / 5000) ** 0.5))
    sample = image[::step, ::step]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(sample, (2, 98))
    return float(low), float(high - low) if high > low else 1.0
