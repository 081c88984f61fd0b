"""Tileable grey patterns of the surfaces."""
from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

#: Side of a tile, pixels; a power of two, so that a bit mask wraps a coordinate.
TILE = 128
PATTERNS = ('flat', 'plaster', 'bricks', 'tiles', 'planks', 'stripes', 'rings', 'blotches', 'fine', 'tape')


@lru_cache(maxsize=1)
def pattern_stack() -> np.ndarray:
    """The tiles of the P `PATTERNS` in their order, (P, TILE, TILE) float32 in [0, 1], read-only."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:TILE, :TILE].astype(np.float32) / TILE
    cloud, fine = _cloud(rng, 4), _cloud(rng, 32)
    row = np.floor(y * 8)
    brick = ((y * 8 % 1) < 0.12) | (((x * 4 + 0.5 * (row % 2)) % 1) < 0.06)
    grout = ((y * 4 % 1) < 0.05) | ((x * 4 % 1) < 0.05)
    checker = (np.floor(x * 4) + np.floor(y * 4)) % 2
    plank = np.take(rng.random(6).astype(np.float32), (x * 6).astype(int)) * 0.7 + ((x * 6 % 1) < 0.06) * 0.3
    tiles = {
        'flat': np.zeros_like(x), 'plaster': 0.6 * cloud + 0.4 * fine, 'bricks': 0.75 * brick + 0.25 * fine,
        'tiles': np.maximum(0.7 * checker, grout) + 0.1 * fine, 'planks': 0.8 * plank + 0.2 * _cloud(rng, 16),
        'stripes': ((x * 4 % 1) < 0.5) * 1.0, 'rings': ((y * 4 % 1) < 0.5) * 1.0,
        'blotches': (cloud > 0.5) * 0.7 + 0.3 * fine, 'fine': fine,
        'tape': np.maximum((abs(x - 0.5) < 0.06) | (abs(y - 0.5) < 0.04), 0.3 * fine),
    }
    stack = np.stack([np.clip(tiles[name], 0, 1) for name in PATTERNS]).astype(np.float32)
    stack.flags.writeable = False
    return stack


def _cloud(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Smooth tileable noise with about `cells` blobs along each side, (TILE, TILE) in [0, 1]."""
    noise = rng.standard_normal((TILE, TILE)).astype(np.float32)
    tiled = np.tile(noise, (3, 3))
    smooth = cv2.GaussianBlur(tiled, (0, 0), TILE / cells / 2.5)[TILE:2 * TILE, TILE:2 * TILE]
    low, high = np.percentile(smooth, (1, 99))
    scaled: np.ndarray = np.clip((smooth - low) / (high - low), 0, 1)
    return scaled
