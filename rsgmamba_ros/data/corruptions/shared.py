"""Corruptions that any sensor can suffer: of place, of time, and the loss of the image.

RGB is (H, W, 3) uint8, depth and thermal (H, W) float32.
"""
from __future__ import annotations

from math import cos, pi, sin

import cv2
import numpy as np

#: How old the image shown instead is, in images, for severities 1 to 5.
IMAGES_AGO = (1, 3, 10, 30, 60)
#: Length of the offset, pixels of an image 640 wide.
_MISALIGNMENT_PX = (2, 4, 8, 16, 32)


def misalignment(image: np.ndarray, severity: int, rng: np.random.Generator) -> tuple[np.ndarray, None]:
    """The image moved in a random direction against the other camera's; the edge is mirrored."""
    length = max(1.0, _MISALIGNMENT_PX[severity - 1] * image.shape[1] / 640)
    angle = rng.uniform(0, 2 * pi)
    offset = np.array([[1, 0, length * cos(angle)], [0, 1, length * sin(angle)]])
    # Values are picked, not blended: blur would give the fault away, and between two depths there is nothing to blend.
    return cv2.warpAffine(image, offset, image.shape[1::-1], flags=cv2.INTER_NEAREST,
                          borderMode=cv2.BORDER_REFLECT), None


def show_previous(image: np.ndarray, severity: int, rng: np.random.Generator,
                  previous: np.ndarray) -> tuple[np.ndarray, None]:
    """An earlier image in place of this one: delayed (`temporal`) or for some time the same one (`frozen`)."""
    return previous.copy(), None


def torn(image: np.ndarray, severity: int, rng: np.random.Generator,
         previous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower part is from an earlier image."""
    cut = round(image.shape[0] * rng.uniform(0.35, 0.65))
    mask = np.zeros(image.shape[:2], bool)
    mask[cut:] = True
    return np.concatenate([image[:cut], previous[cut:]]), mask


def missing(image: np.ndarray, severity: int, rng: np.random.Generator) -> tuple[np.ndarray, None]:
    """No image: black RGB, or NaN. An evaluation feeds it as unavailable; the severity has no effect."""
    return np.full_like(image, 0 if image.dtype == np.uint8 else np.nan), None
