"""Corruptions by what lies on the lens of a colour camera, (H, W, 3) uint8: only a part of the image is hit. Our own.

Lengths are shares of the shorter side, so that they scale with the image.
"""
from __future__ import annotations

from math import cos, pi, sin

import cv2
import numpy as np

from rsgmamba_ros.data.corruptions.fields import smooth_field

_DIRT_SHARE = (0.04, 0.1, 0.18, 0.3, 0.45)
_DROPS = (4, 9, 16, 26, 40)
_DROP_RADIUS = (0.03, 0.1)
_COVERED_SHARE = (0.06, 0.13, 0.22, 0.35, 0.5)

_Result = tuple[np.ndarray, np.ndarray]


def dirt(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Dust and mud out of focus: soft blobs, nearly opaque in their middle, that blur what is left around it."""
    field = smooth_field(image.shape[:2], rng, cells=9) + np.float32(0.5) * smooth_field(image.shape[:2], rng, cells=24)
    limit = np.quantile(field[::4, ::4], 1 - _DIRT_SHARE[severity - 1])
    opacity = np.clip((field - np.float32(limit)) * np.float32(1.5), 0, np.float32(0.95))
    colour = rng.uniform(30, 140) * np.array([1.0, rng.uniform(0.8, 1.0), rng.uniform(0.6, 1.0)])
    behind = cv2.GaussianBlur(image, (0, 0), max(0.5, 0.02 * min(image.shape[:2])))
    return _blended(image, behind, colour, opacity), opacity > 0


def drops(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Water drops: each shows its surroundings upside down, small and blurred."""
    height, width = image.shape[:2]
    result = image.copy()
    mask = np.zeros((height, width), bool)
    shorter = min(height, width)
    blurred = cv2.GaussianBlur(image, (0, 0), max(0.5, 0.01 * shorter))
    for _ in range(_DROPS[severity - 1]):
        radius = max(1.0, shorter * rng.uniform(*_DROP_RADIUS))
        centre = rng.uniform(0, 1, 2) * (height, width)
        top, left = (max(0, int(middle - radius)) for middle in centre)
        bottom, right = (min(side, int(middle + radius) + 1) for middle, side in zip(centre, (height, width)))
        rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
        down, across = rows - np.float32(centre[0]), columns - np.float32(centre[1])
        inside = down ** 2 + across ** 2 <= radius ** 2
        seen = cv2.remap(blurred, np.float32(centre[1]) - 3 * across, np.float32(centre[0]) - 3 * down,
                         cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        result[top:bottom, left:right][inside] = seen[inside]
        mask[top:bottom, left:right] |= inside
    return result, mask


def covered(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """A finger, a strap or tape before a corner: dark, out of focus, opaque but for its rim."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * pi)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    along = columns / max(width, 1) * np.float32(cos(angle)) + rows / max(height, 1) * np.float32(sin(angle))
    along += np.float32(0.06) * smooth_field((height, width), rng, cells=4)
    limit = np.quantile(along[::4, ::4], 1 - _COVERED_SHARE[severity - 1])
    opacity = np.clip((along - np.float32(limit)) * np.float32(12), 0, 1)
    colour = rng.uniform(5, 110) * np.array([1.0, rng.uniform(0.6, 1.0), rng.uniform(0.5, 1.0)])
    return _blended(image, image, colour, opacity), opacity > 0


def _blended(image: np.ndarray, behind: np.ndarray, colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    share = opacity[..., None]
    mixed = behind + (colour.astype(np.float32) - behind) * share
    return np.where(share > 0, np.clip(mixed, 0, 255).astype(np.uint8), image)
