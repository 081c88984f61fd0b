"""Images of one size -> another one, and small holes filled: what OpenCV does for the preprocessing."""
from __future__ import annotations

import cv2
import numpy as np


def resize(values: np.ndarray, height: int, width: int, *, nearest: bool = False) -> np.ndarray:
    """Bring an image to a size: bilinear where it grows, else the mean of what becomes one pixel.

    Args:
        values: (h, w) or (h, w, C), any dtype that OpenCV resizes.
        nearest: take the nearest pixel instead, where no mean of two values has a meaning.

    Returns:
        (height, width) or (height, width, C), same dtype; `values` itself if it has the size.
    """
    if values.shape[:2] == (height, width):
        return values
    if nearest:
        return cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST)
    shrink = height < values.shape[0] or width < values.shape[1]
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)


def fill_small_holes(values: np.ndarray) -> np.ndarray:
    """Fill holes of up to about two pixels from their valid neighbours; wider ones stay NaN.

    Specks and the ragged rims of objects are noise of the sensor; a wide hole is something the network must see.

    Args:
        values: (H, W) float32, NaN where there is no measurement.

    Returns:
        (H, W) float32; `values` itself if it has no hole.
    """
    invalid = np.isnan(values)
    if not invalid.any():
        return values
    weight = cv2.boxFilter((~invalid).astype(np.float32), -1, (3, 3), borderType=cv2.BORDER_REPLICATE)
    total = cv2.boxFilter(np.where(invalid, np.float32(0), values), -1, (3, 3), borderType=cv2.BORDER_REPLICATE)
    # A third of the 3x3 neighbourhood: the rim of a straight-edged wide hole has exactly that and grows by one pixel.
    fill = invalid & (weight > 0.3)
    values = values.copy()
    values[fill] = total[fill] / weight[fill]
    return values
