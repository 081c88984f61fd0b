"""A monotone map from reliability logits to the published reliability, fitted on held-out samples."""
from __future__ import annotations

import numpy as np

from rsgmamba_ros.training.loss import TARGET_OF_SEVERITY


def fit_calibration(logits: np.ndarray, severities: np.ndarray, *, knots: int = 12) -> dict[str, list[float]]:
    """Fit what a logit means on average.

    Args:
        logits: (N,).
        severities: (N,) integers 0..5; the targets are `TARGET_OF_SEVERITY`.
        knots: at most so many points in the map.

    Returns:
        `x` (logits, ascending) and `y` (reliability, not falling) of a piecewise linear map.

    Raises:
        ValueError: fewer than two samples, or a logit that is not finite.
    """
    if len(logits) < 2 or not np.isfinite(logits).all():
        raise ValueError(f'calibration needs two or more finite logits, got {len(logits)}')
    order = np.argsort(logits, kind='stable')
    x = np.asarray(logits, float)[order]
    y = isotonic(np.array(TARGET_OF_SEVERITY)[np.asarray(severities)[order]])
    # Knots at the middles of equally full bins: the steps of the isotonic fit would make equal what is not.
    bins = np.array_split(np.arange(len(x)), min(knots, max(2, len(x) // 8)))
    x, y = (np.array([values[index].mean() for index in bins]) for values in (x, y))
    x, first = np.unique(x, return_index=True)
    return {'x': [round(float(value), 5) for value in x], 'y': [round(float(value), 5) for value in y[first]]}


def isotonic(values: np.ndarray) -> np.ndarray:
    """The not falling sequence closest to `values` in squares, by pooling adjacent violators; (N,) -> (N,)."""
    means: list[float] = []
    sizes: list[int] = []
    for value in values:
        means.append(float(value))
        sizes.append(1)
        while len(means) > 1 and means[-2] > means[-1]:
            size = sizes[-2] + sizes[-1]
            means[-2:] = [(means[-2] * sizes[-2] + means[-1] * sizes[-1]) / size]
            sizes[-2:] = [size]
    return np.repeat(means, sizes)
