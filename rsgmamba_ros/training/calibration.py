"""A monotone map from reliability logits to the published reliability, fitted on held-out samples."""
from __future__ import annotations

import numpy as np

from rsgmamba_ros.evaluation.protocols import TARGET_OF_SEVERITY

#: Share of the map that rises evenly, and by how many logits it extends beyond the samples.
_RAMP, _ROOM = 0.02, 4.0


def fit_calibration(logits: np.ndarray, severities: np.ndarray, *, clean_share: float,
                    knots: int = 12) -> dict[str, list[float]]:
    """Fit the mean target of each logit, where a share `clean_share` of the images is clean.

    The share of corrupted images among the samples does not matter: the two kinds are weighted by `clean_share`.

    Args:
        logits: (N,).
        severities: (N,) integers 0..5, 0 for clean; the targets are `TARGET_OF_SEVERITY`.
        clean_share: share of clean images in use, above 0 and below 1.
        knots: at most so many points in the map, plus one beyond each end.

    Returns:
        `x` (logits) and `y` (reliability) of a piecewise linear map, both rising.

    Raises:
        ValueError: fewer than two samples, or a logit that is not finite.
    """
    if len(logits) < 2 or not np.isfinite(logits).all():
        raise ValueError(f'calibration needs two or more finite logits, got {len(logits)}')
    order = np.argsort(logits, kind='stable')
    x, severity = np.asarray(logits, float)[order], np.asarray(severities)[order]
    weights = np.where(severity == 0, clean_share / max((severity == 0).sum(), 1),
                       (1 - clean_share) / max((severity > 0).sum(), 1))
    y = isotonic(np.array(TARGET_OF_SEVERITY)[severity], weights)
    # Knots at the centres of equally full bins: the steps of the isotonic fit would publish different logits as equal.
    bins = np.array_split(np.arange(len(x)), min(knots, max(2, len(x) // 8)))
    x, y = (np.array([np.average(values[index], weights=weights[index]) for index in bins]) for values in (x, y))
    x, first = np.unique(x, return_index=True)
    x, y = _strictly_rising(x, y[first])
    return {'x': [round(float(value), 5) for value in x], 'y': [round(float(value), 5) for value in y]}


def _strictly_rising(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots with a slope everywhere and room beyond both ends, so that different logits stay different."""
    y = (1 - _RAMP) * y + _RAMP * np.linspace(0, 1, len(y))
    return (np.concatenate(([x[0] - _ROOM], x, [x[-1] + _ROOM])),
            np.concatenate(([0.5 * y[0]], y, [0.5 * (y[-1] + 1)])))


def isotonic(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The non-decreasing sequence nearest to `values` in weighted squares, (N,) -> (N,); pools adjacent violators."""
    means: list[float] = []
    masses: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(values, weights):
        means.append(float(value))
        masses.append(float(weight))
        sizes.append(1)
        while len(means) > 1 and means[-2] > means[-1]:
            mass = masses[-2] + masses[-1]
            means[-2:] = [(means[-2] * masses[-2] + means[-1] * masses[-1]) / mass]
            masses[-2:] = [mass]
            sizes[-2:] = [sizes[-2] + sizes[-1]]
    return np.repeat(means, sizes)
