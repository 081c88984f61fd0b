"""Corruptions of depth images, (H, W) float32 metres, NaN where there is no echo."""
from __future__ import annotations

import cv2
import numpy as np

from rsgmamba_ros.data.corruptions.fields import smooth_field

#: Multiples of the Kinect's axial noise, sigma = 0.0012 + 0.0019 (z - 0.4)^2 m (Nguyen et al., 3DIMPVT 2012).
_AXIAL_NOISE_SCALE = (2.0, 4.0, 8.0, 16.0, 32.0)
#: Pixels of an image 640 wide.
_LATERAL_SHIFT_PX = (2, 4, 8, 16, 32)
#: Steps of disparity, pixels, of a camera with a focal length of 480 px and a baseline of 0.075 m.
_DISPARITY_STEP_PX = (0.125, 0.25, 0.5, 1.0, 2.0)
_FOCAL_TIMES_BASELINE = 480 * 0.075
_HOLE_SHARE = (0.05, 0.1, 0.2, 0.35, 0.5)
_RANGE_LIMIT_M = (5.0, 4.0, 3.0, 2.4, 1.8)
_SCALE_ERROR = (0.05, 0.1, 0.2, 0.3, 0.5)
_SMALLEST_M = 0.05

_Result = tuple[np.ndarray, None]
_LocalResult = tuple[np.ndarray, np.ndarray]


def axial_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Noise along the rays that grows with the square of the distance."""
    sigma = np.float32(0.0012) + np.float32(0.0019) * (image - np.float32(0.4)) ** 2
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(_AXIAL_NOISE_SCALE[severity - 1])
    return np.maximum(image + noise * sigma, np.float32(_SMALLEST_M)), None


def lateral_shift(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """The image slid sideways against the other camera's, as by a wrong registration; the uncovered side is empty."""
    width = image.shape[1]
    shift = min(max(1, round(_LATERAL_SHIFT_PX[severity - 1] * width / 640)), width)
    result = np.full_like(image, np.nan)
    if rng.random() < 0.5:
        result[:, shift:] = image[:, :width - shift]
    else:
        result[:, :width - shift] = image[:, shift:]
    return result, None


def quantisation(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Depth in steps of disparity."""
    step = np.float32(_DISPARITY_STEP_PX[severity - 1])
    disparity = np.float32(_FOCAL_TIMES_BASELINE) / np.maximum(image, np.float32(_SMALLEST_M))
    return np.float32(_FOCAL_TIMES_BASELINE) / np.maximum(np.round(disparity / step) * step, step), None


def holes(image: np.ndarray, severity: int, rng: np.random.Generator) -> _LocalResult:
    """No echo at depth edges and in random blobs, on a given share of the image."""
    filled = np.nan_to_num(image)
    edge = (cv2.morphologyEx(filled, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0.1 * filled).astype(np.float32)
    score = smooth_field(image.shape, rng, cells=14) + 3 * cv2.blur(edge, (7, 7))
    # Ranked on every fourth pixel a side: the share is exact enough, and a full sort would cost more than the rest.
    limit = np.quantile(score[::4, ::4], 1 - _HOLE_SHARE[severity - 1])
    mask = score >= limit
    return np.where(mask, np.float32(np.nan), image), mask


def range_cutoff(image: np.ndarray, severity: int, rng: np.random.Generator) -> _LocalResult:
    """No echo from beyond a distance."""
    mask = image > _RANGE_LIMIT_M[severity - 1]
    return np.where(mask, np.float32(np.nan), image), mask


def scale_error(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """All distances too long or too short by a factor."""
    error = _SCALE_ERROR[severity - 1]
    return image * np.float32(1 + error if rng.random() < 0.5 else 1 - error), None
