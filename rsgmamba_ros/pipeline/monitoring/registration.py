"""Whether depth lies on colour: edges of both must meet, at the same shift (none), bundle after bundle. [ours]

One image tells little: few edges of colour are edges of depth. Over many bundles of a moving camera the correlation at
the true shift adds up, and everything else averages out. So a camera whose depth was never registered to its colour is
told from a camera that fails. Plain NumPy; time is counted in bundles.

h, w cells: the images at 160 columns. S = 2 RADIUS + 1 shifts an axis.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

#: Columns of the cells. A cell is 4 pixels of a VGA image: registration is right to a few pixels even on good cameras.
COLUMNS = 160
#: Greatest shift that is looked at, cells an axis: 32 pixels of 640, more than the parallax of a camera's two lenses
#: beyond half a metre.
RADIUS = 8
#: Bundles that the mean runs over.
BUNDLES = 30
#: Bundles with edges that a displacement must be seen in; and those without a common edge before it is called so.
FEWEST_BUNDLES, FEWEST_WITHOUT_PEAK = 10, BUNDLES
#: Only every n-th bundle is looked at: the mounting of a camera does not change within a second.
EVERY = 3
#: A shift of one cell is tolerated: registered cameras have their peak there as well (arms, table tops, Kinect v1).
TOLERATED_CELLS = 1.5
#: How many times higher above the median the peak must be than the best tolerated shift. Of 19 registered cameras one
#: has 1.3, which is displaced by 8 pixels of 640, and all others less; one that was never registered has 3.
CLEAR_RATIO = 1.6
#: Correlation by which the best tolerated shift must exceed the median over all shifts. Registered cameras of the
#: collection have 0.03 to 0.3, one without any common edge has 0.006.
LEAST_EXCESS = 0.015
#: Share of cells with an edge of depth, and mean contrast of colour (0..1), below which an image says nothing.
LEAST_DEPTH_EDGES, LEAST_CONTRAST = 0.005, 0.004
#: Step of the logarithm of the distance over two cells that is an edge of depth.
DEPTH_STEP = 0.05
#: Share of a cell's pixels that must hold a distance.
LEAST_VALID = 0.6


@dataclass(frozen=True)
class Displacement:
    """How far depth edges lie from colour edges, in shares of the image's width; positive is right and down."""

    across: float
    down: float

    def __str__(self) -> str:
        return (f'depth edges lie {100 * self.across:+.1f} % (across) and {100 * self.down:+.1f} % (down) of the image '
                'width beside the colour edges')


class RegistrationMonitor:
    """Accumulates where the edges of depth and colour meet. Not thread-safe."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._mean = np.zeros((2 * RADIUS + 1, 2 * RADIUS + 1))
        self._offered = 0
        self._counted = 0

    def offer(self, rgb: np.ndarray, depth: np.ndarray) -> None:
        """Look at a pair, if it is one of those that are looked at.

        Args:
            rgb: (H, W, 3) uint8.
            depth: (H', W') float32, metres, NaN where there is no measurement.
        """
        self._offered += 1
        if self._offered % EVERY == 0:
            landscape = edge_landscape(rgb, depth)
            if landscape is not None:
                self.add(landscape)

    def add(self, landscape: np.ndarray) -> None:
        """Take the correlation of edges at every shift, (S, S), rows are shifts down."""
        self._counted += 1
        self._mean += (landscape - self._mean) / min(self._counted, BUNDLES)

    @property
    def displacement(self) -> Displacement | None:
        """The shift at which edges meet consistently, if it is none that is tolerated; None if there is no such one."""
        if self._counted < FEWEST_BUNDLES:
            return None
        row, column = np.unravel_index(int(self._mean.argmax()), self._mean.shape)
        median = float(np.median(self._mean))
        peak, tolerated = float(self._mean.max()) - median, float(self._mean[_TOLERATED].max()) - median
        if _TOLERATED[row, column] or peak < LEAST_EXCESS or peak < CLEAR_RATIO * tolerated or self._is_unrelated:
            return None
        return Displacement((int(column) - RADIUS) / COLUMNS, (int(row) - RADIUS) / COLUMNS)

    @property
    def problem(self) -> str:
        """What is wrong with the registration, for people; empty if nothing is known to be."""
        displacement = self.displacement
        if displacement is not None:
            return str(displacement)
        return 'depth edges meet no colour edges at any small shift' if self._is_unrelated else ''

    @property
    def _is_unrelated(self) -> bool:
        excess = float(self._mean[_TOLERATED].max() - np.median(self._mean))
        return self._counted >= FEWEST_WITHOUT_PEAK and excess < LEAST_EXCESS


def edge_landscape(rgb: np.ndarray, depth: np.ndarray) -> np.ndarray | None:
    """Correlate edges of depth (steps of the distance, rims of holes) and colour at every small shift of the depth.

    Args:
        rgb: (H, W, 3) uint8.
        depth: (H', W') float32, metres, NaN where there is no measurement; of the same field of view.

    Returns:
        Sum of the two correlation coefficients, (S, S), rows are shifts down; None where there are few edges.
    """
    size = COLUMNS, max(round(rgb.shape[0] * COLUMNS / rgb.shape[1]), 4 * RADIUS)
    grey = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).mean(axis=2, dtype=np.float32) / 255
    measured = np.isfinite(depth)
    valid = cv2.resize(measured.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(np.where(measured, depth, np.float32(0)), size, interpolation=cv2.INTER_AREA)
    whole = valid > LEAST_VALID
    metres = np.maximum(sums / np.maximum(valid, LEAST_VALID), np.float32(0.05))
    distance = np.log(np.where(whole, metres, np.float32(1)))
    inside = cv2.erode(whole.astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    colour, steps, rims = _differences(grey), _differences(distance), _differences(valid)
    contrast = float(np.hypot(*colour).mean())
    is_edge = (np.hypot(*steps) > DEPTH_STEP) & (inside > 0) | (np.hypot(*rims) > 0.5)
    if contrast < LEAST_CONTRAST or is_edge.mean() < LEAST_DEPTH_EDGES:
        return None
    return _correlations(_structure(colour, contrast + 0.01),
                         (_structure(steps, DEPTH_STEP) * inside, _structure(rims, 0.5)))


def _differences(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central differences across and down, (h, w) -> (h - 2, w - 2) each."""
    return image[1:-1, 2:] - image[1:-1, :-2], image[2:, 1:-1] - image[:-2, 1:-1]


def _structure(differences: tuple[np.ndarray, np.ndarray], floor: float) -> np.ndarray:
    """Direction of the edges without their sign, (h, w) twice -> (3, h, w); edges weaker than `floor` fade.

    The product of two such maps is the squared cosine between the edges, as in normalised gradient fields (Haber and
    Modersitzki, MICCAI 2006).
    """
    across, down = differences
    strength = 1 / (across * across + down * down + floor * floor)
    maps: np.ndarray = np.stack((across * across, down * down, 2 ** 0.5 * across * down)) * strength
    return maps


def _correlations(colour: np.ndarray, depths: Sequence[np.ndarray]) -> np.ndarray:
    """Sum of the correlation coefficients of one map and each other one, (3, h, w), at every shift of those, (S, S).

    The value at a shift is that of the depth's content lying so far right and down of the colour's.
    """
    colour = colour - colour.mean(axis=(1, 2), keepdims=True)
    _, height, width = colour.shape
    # Only what stays in the picture at every shift takes part, so that each shift sees as much.
    inside = slice(None), slice(RADIUS, height - RADIUS), slice(RADIUS, width - RADIUS)
    total = np.zeros_like(colour)
    for depth in depths:
        inner = np.zeros_like(colour)
        inner[inside] = (depth - depth.mean(axis=(1, 2), keepdims=True))[inside]
        total += inner / np.sqrt((colour * colour).sum() * (inner * inner).sum() + 1e-6)
    padded = tuple(cv2.getOptimalDFTSize(side + RADIUS) for side in (height, width))
    spectrum = (np.fft.rfft2(total, padded) * np.conj(np.fft.rfft2(colour, padded))).sum(axis=0)
    products = np.fft.irfft2(spectrum, padded)
    correlations: np.ndarray = products[np.ix_(_SHIFTS % padded[0], _SHIFTS % padded[1])]
    return correlations


_SHIFTS = np.arange(-RADIUS, RADIUS + 1)
#: True where a shift is tolerated, (S, S).
_TOLERATED = np.hypot(_SHIFTS[:, None], _SHIFTS[None, :]) <= TOLERATED_CELLS
