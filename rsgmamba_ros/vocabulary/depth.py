"""Depth images as drivers send them <-> metres, by REP-117 and REP-118."""
from __future__ import annotations

import numpy as np

#: Metres of one step of a 16UC1 image.
MILLIMETRE_M = 0.001

#: No sensor measures this much, in metres, degrees or counts: greater floats are invalid, and would overflow in sums.
LARGEST_FLOAT = 1e6


def depth_in_metres(pixels: np.ndarray, *, unit_m: float = MILLIMETRE_M) -> np.ndarray:
    """Scale a depth image to metres.

    Args:
        pixels: (H, W), integers in steps of `unit_m`, or floats in metres.
        unit_m: metres of one integer step.

    Returns:
        (H, W) float32, a new array. NaN marks pixels without a measurement: 0 and, in uint16, 65535 among integers;
        anything not positive or not below `LARGEST_FLOAT` among floats, inf with it.
    """
    if pixels.dtype.kind == 'f':
        metres: np.ndarray = pixels.astype(np.float32)
        metres[~((metres > 0) & (metres < LARGEST_FLOAT))] = np.nan
        return metres
    metres = np.multiply(pixels, np.float32(unit_m), dtype=np.float32)
    if pixels.dtype == np.uint16:
        # Adding 1 in uint16 sends both marks, 0 and 65535, to the two smallest values.
        metres[pixels + np.uint16(1) <= 1] = np.nan
    else:
        metres[pixels == 0] = np.nan
    return metres


def depth_in_millimetres(metres: np.ndarray) -> np.ndarray:
    """Encode metres as a 16UC1 image.

    Args:
        metres: (H, W) float, NaN where there is no measurement.

    Returns:
        (H, W) uint16, 0 where there is no measurement; larger distances than 65.535 m are clipped.
    """
    millimetres: np.ndarray = np.clip(np.nan_to_num(np.round(metres * 1000)), 0, 65535)
    return millimetres.astype(np.uint16)
