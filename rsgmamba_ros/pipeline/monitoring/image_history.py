"""Which rows of an image were seen before: tells frozen and torn images from a still scene.

A real sensor never repeats itself exactly: noise changes some pixel of every row. So rows are compared for equality,
by a checksum, and only rows with structure count: black, saturated or empty rows are equal without meaning anything.
An image that went through a deterministic codec (JPEG, PNG) twice is still equal to itself; a frozen image that a video
codec encoded anew is not found here. A camera simulated without noise in a still scene counts as frozen: it cannot
be told apart.
"""
from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

#: Neighbouring pixels of a row that must differ for the row to count, as a share of its pixels.
_STRUCTURE_SHARE = 0.1
#: Fewer rows with structure than this tell nothing about the image.
_FEWEST_ROWS = 4


@dataclass(frozen=True)
class Repetition:
    """What of an image is old.

    Attributes:
        identical: the whole image is an earlier one.
        stale_share: share of the image, at its bottom or top, that equals an earlier image while the rest is new; 0..1.
    """

    identical: bool
    stale_share: float


class ImageHistory:
    """Checksums of the sampled rows of the last images of one sensor.

    Args:
        length: images remembered.
    """

    def __init__(self, length: int):
        self._length = length
        self._checksums = np.zeros((0, 0), np.uint32)

    def clear(self) -> None:
        """Forget everything."""
        self._checksums = np.zeros((0, 0), np.uint32)

    def compare_and_add(self, rows: np.ndarray) -> Repetition:
        """Compare an image with those before and remember it.

        Args:
            rows: sampled rows, from top to bottom, (R, W) or (R, W, C), C-contiguous.
        """
        checksums = np.array([crc32(row) for row in rows], np.uint32)
        first = rows[..., 0] if rows.ndim == 3 else rows
        structured = (first[:, 1:] != first[:, :-1]).mean(axis=1) > _STRUCTURE_SHARE
        earlier = self._checksums
        if earlier.shape[1:] != checksums.shape:
            earlier = np.zeros((0, len(checksums)), np.uint32)
        equal = earlier[:, structured] == checksums[structured]
        self._checksums = np.concatenate([earlier, checksums[None]])[-self._length:]
        return _repetition(equal)


def _repetition(equal: np.ndarray) -> Repetition:
    """Equality of each remembered image's structured rows with the new one's, (N, R) bool -> what is old."""
    count = equal.shape[1]
    if count < _FEWEST_ROWS or len(equal) == 0:
        return Repetition(False, 0.0)
    if equal.all(axis=1).any():
        return Repetition(True, 1.0)
    longest = max(_run_from_start(equal), _run_from_start(equal[:, ::-1]))
    return Repetition(False, longest / count if longest >= _FEWEST_ROWS else 0.0)


def _run_from_start(equal: np.ndarray) -> int:
    """Longest run of True from the first column, over all rows of (N, R), none of which is all True."""
    return int(np.argmin(equal, axis=1).max())
