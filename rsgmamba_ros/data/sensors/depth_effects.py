"""Single effects of depth cameras on (H, W) float32 metres without NaN. Lengths are pixels of the image at hand."""
from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import cv2
import numpy as np

from rsgmamba_ros.data.sensors.depth_sensor import DepthNoise, Edges, FieldOfView, Losses
from rsgmamba_ros.data.sensors.randomness import normal, uniform

_SMALLEST_M = 0.02
#: Steps of depth between these are a comb that another camera's image must not keep; NYU Depth V2 has 39 mm.
_COMB_M = (0.004, 0.08)
_COMB_WINDOW_PX = 5  # of an image of half the size
#: Relative change of depth between neighbours that is an edge.
_EDGE = 0.06
#: Columns of the focal length per column of the image, of a camera with 58 degrees horizontally (Kinect v1).
_FOCAL_SHARE = 0.9
#: Noise and slopes of less than this throw no shadow.
_SHADOW_TOLERANCE_PX = 0.75
_FRAME = 0.02
#: Relative error of distances from a wrong match; own.
_MISMATCH = 0.2
#: How much of the propensity to lose a surface is decided by chance; own.
_CHANCE = 0.3


def without_comb(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth surfaces whose depth comes in coarse steps; edges stay, and fine depth is returned as it is."""
    step = _comb_step(depth)
    if step == 0:
        return depth
    dithered = depth + (uniform(depth.shape, rng) - np.float32(0.5)) * np.float32(step)
    # A guided filter with the image as its own guide (He et al., ECCV 2010), its coefficients at half the size.
    height, width = depth.shape
    small = cv2.resize(dithered, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    mean, square = (cv2.blur(values, (_COMB_WINDOW_PX, _COMB_WINDOW_PX)) for values in (small, small * small))
    variance = np.maximum(square - mean * mean, 0)
    share = variance / (variance + np.float32((2 * step) ** 2))
    offset = mean - share * mean
    share, offset = (cv2.resize(cv2.blur(values, (_COMB_WINDOW_PX, _COMB_WINDOW_PX)), (width, height),
                                interpolation=cv2.INTER_LINEAR) for values in (share, offset))
    smooth = share * dithered + offset
    # The true value rounds to the step; where the filter blurs an edge, this limits it.
    half = np.float32(0.6 * step)
    limited: np.ndarray = np.maximum(np.clip(smooth, depth - half, depth + half), np.float32(_SMALLEST_M))
    return limited


def _comb_step(depth: np.ndarray) -> float:
    """The smallest step between values, where it is that of a comb; else 0."""
    stride = max(1, int((depth.size / 1500) ** 0.5))
    steps = np.diff(np.unique(depth[::stride, ::stride]))
    steps = steps[steps > 1e-5]
    if steps.size < 3:
        return 0.0
    return float(steps.min()) if _COMB_M[0] < steps.min() < _COMB_M[1] else 0.0


def hidden(depth: np.ndarray, focal_baseline: float) -> np.ndarray:
    """Pixels that a second device beside the camera cannot see behind nearer surfaces, (H, W) bool.

    Args:
        focal_baseline: px m; positive for a shadow left of near objects, negative for one on their right.
    """
    # Column in the second device's image. Along a row it must grow: where it does not, something nearer is in front.
    column = _grid(depth.shape)[0] - np.float32(focal_baseline) / depth
    reach = min(depth.shape[1], int(abs(focal_baseline) / depth.min()) + 2)
    if focal_baseline > 0:
        return _is_behind(column, reach)
    return _is_behind(-column[:, ::-1], reach)[:, ::-1]


def _is_behind(column: np.ndarray, reach: int) -> np.ndarray:
    behind: np.ndarray = column > _least_to_the_right(column, reach) + np.float32(_SHADOW_TOLERANCE_PX)
    return behind


def _least_to_the_right(values: np.ndarray, reach: int) -> np.ndarray:
    """Minimum of each value and at least the next `reach` ones in its row, by doubling: faster than a running one."""
    least = values.copy()
    step = 1
    while step <= reach and step < least.shape[1]:
        least[:, :-step] = np.minimum(least[:, :-step], least[:, step:])
        step *= 2
    return least


def outside(depth: np.ndarray, focal_baseline: float) -> np.ndarray:
    """Pixels whose surface lies left of the second camera's image, (H, W) bool."""
    is_outside: np.ndarray = _grid(depth.shape)[0] * depth < np.float32(focal_baseline)
    return is_outside


def unmeasured(rgb: np.ndarray, depth: np.ndarray, losses: Losses, rng: np.random.Generator) -> np.ndarray:
    """Surfaces that return too little: dark, far, shiny, plain or seen at a grazing angle, (H, W) bool."""
    height, width = depth.shape
    # At half the size: patches are larger than a pixel, and it takes a quarter of the time.
    half = (max(1, width // 2), max(1, height // 2))
    small = _without_frame(cv2.resize(rgb, half, interpolation=cv2.INTER_AREA))
    brightness = cv2.transform(small, np.array([losses.response], np.float32)).astype(np.float32) / 255
    z = cv2.resize(depth, half, interpolation=cv2.INTER_NEAREST)
    patch_px = losses.patch_px * width / 640 / 2
    score: np.ndarray = _grain(z.shape, patch_px, rng) * np.float32(_CHANCE * (1 - losses.speckle))
    score = score + np.float32(losses.anywhere)
    if losses.reach_m:
        # Light on a linear scale; it falls off with the square of the distance.
        echo = (brightness * losses.reach_m / z) ** 2
        score = score + np.float32(1.6) * np.maximum(1 - echo, 0)
    if losses.shiny:
        score = score + np.float32(losses.shiny) * _shine(small)
    if losses.plain:
        score = score + np.float32(losses.plain) * _plainness(brightness)
    if losses.grazing:
        score = score + np.float32(losses.grazing) * _grazing(z)
    score = cv2.resize(score, (width, height), interpolation=cv2.INTER_LINEAR)
    if losses.speckle:
        score = score + np.float32(_CHANCE * losses.speckle) * normal(score.shape, rng)
    lost: np.ndarray = score > 1
    return lost


def _without_frame(rgb: np.ndarray) -> np.ndarray:
    """The outermost 2 % of the image replaced by what is inside: NYU Depth V2 has a white frame there, no surface."""
    across = round(_FRAME * rgb.shape[1])
    inner = rgb[across:rgb.shape[0] - across, across:rgb.shape[1] - across]
    if across == 0 or inner.size == 0:
        return rgb
    return cv2.copyMakeBorder(inner, across, across, across, across, cv2.BORDER_REPLICATE)


def _shine(rgb: np.ndarray) -> np.ndarray:
    """1 where all channels are saturated, softened by a pixel."""
    red, green, blue = cv2.split(rgb)
    darkest = cv2.min(cv2.min(red, green), blue)
    return cv2.blur((darkest > 240).astype(np.float32), (3, 3))


def _plainness(brightness: np.ndarray) -> np.ndarray:
    """1 where the neighbourhood has no texture, 0 where it has plenty."""
    mean, square = cv2.blur(brightness, (7, 7)), cv2.blur(brightness * brightness, (7, 7))
    deviation = cv2.sqrt(np.maximum(square - mean * mean, 0))
    plainness: np.ndarray = np.clip(np.float32(1.2) - deviation * 40, 0, 1)
    return plainness


def _grazing(depth: np.ndarray) -> np.ndarray:
    """0 up to an angle of 70 degrees between ray and normal, 1 from 83 degrees on."""
    focal_px = _FOCAL_SHARE * depth.shape[1]
    slope = cv2.magnitude(cv2.Sobel(depth, cv2.CV_32F, 1, 0), cv2.Sobel(depth, cv2.CV_32F, 0, 1)) / 8
    tangent = slope * np.float32(focal_px) / depth
    grazing: np.ndarray = np.clip((tangent - np.float32(2.7)) / np.float32(5.3), 0, 1)
    return grazing


def bowed(depth: np.ndarray, amount: float) -> np.ndarray:
    """Corners and the foot of objects farther away, as light that comes by way of a second surface makes them."""
    height, width = depth.shape
    small = cv2.resize(depth, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    sigma = max(1.0, small.shape[1] / 20)
    bend = np.abs(small - cv2.GaussianBlur(small, (0, 0), sigma))
    bend = cv2.GaussianBlur(np.minimum(bend, np.float32(0.3)), (0, 0), sigma / 2)
    longer: np.ndarray = depth + np.float32(amount) * cv2.resize(bend, (width, height), interpolation=cv2.INTER_LINEAR)
    return longer


def softened(depth: np.ndarray, cells: int) -> np.ndarray:
    """Measured in few columns, outlines rounded, and enlarged: smooth surfaces, soft edges."""
    height, width = depth.shape
    columns = max(1, min(cells, width))
    small = cv2.resize(depth, (columns, max(1, round(height * columns / width))), interpolation=cv2.INTER_AREA)
    small = cv2.medianBlur(small, 3)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def fattened(depth: np.ndarray, radius_px: float) -> np.ndarray:
    """Near surfaces grown at edges; slopes are left as they are."""
    radius = round(radius_px)
    if radius == 0:
        return depth
    near = cv2.erode(depth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
    return np.where(near < depth * np.float32(1 - _EDGE * max(1, radius)), near, depth)


def at_edges(depth: np.ndarray, edges: Edges, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Flying pixels and lost pixels at jumps of depth: the depth, and the lost pixels, (H, W) bool."""
    kernel = np.ones((3, 3), np.uint8)
    near, far = cv2.erode(depth, kernel), cv2.dilate(depth, kernel)
    # Few pixels are at an edge: what follows is done for those alone.
    at = np.nonzero(far - near > near * np.float32(_EDGE))
    draw = rng.random(at[0].size, dtype=np.float32)
    lost = np.zeros(depth.shape, bool)
    lost[at] = draw < edges.loss
    if edges.flying:
        # The upper end of the same draw decides which pixels fly, and its distance from the limit how far.
        level = (draw - np.float32(1 - edges.flying)) / np.float32(edges.flying)
        between = near[at] + level * (far[at] - near[at])
        depth = depth.copy()
        depth[at] = np.where(level > 0, between, depth[at])
    return depth, lost


def noisy(depth: np.ndarray, noise: DepthNoise, grain_px: float, rng: np.random.Generator) -> np.ndarray:
    """Noise along the ray."""
    values = _grain(depth.shape, grain_px / 2, rng)
    sigma = np.float32(noise.constant_m) + np.float32(noise.quadratic) * (depth - np.float32(noise.start_m)) ** 2
    measured: np.ndarray = np.maximum(depth + values * sigma, np.float32(_SMALLEST_M))
    return measured


def mismatched(depth: np.ndarray, lost: np.ndarray, share: float, patch_px: float,
               rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Some of the patches that a stereo camera cannot match get a wrong distance: the depth, and what is still lost."""
    # The share of a normal distribution above the limit.
    is_wrong = lost & (_grain(depth.shape, patch_px, rng) > np.float32(NormalDist().inv_cdf(1 - share)))
    factor = 1 + np.float32(_MISMATCH) * _grain(depth.shape, patch_px, rng)
    wrong = np.maximum(depth * factor, np.float32(_SMALLEST_M))
    return np.where(is_wrong, wrong, depth), lost & ~is_wrong


def in_steps_of_disparity(depth: np.ndarray, focal_baseline: float, step_px: float) -> np.ndarray:
    """Depth of the nearest step of disparity."""
    scale = np.float32(focal_baseline / step_px)
    stepped: np.ndarray = scale / np.maximum(np.round(scale / depth), 1)
    return stepped


def displaced(depth: np.ndarray, shift: np.ndarray | float, down_px: float, jitter_px: float,
              rng: np.random.Generator) -> np.ndarray:
    """The image moved by pixels to the right and down, and jittered; values are picked, NaN moves along.

    Args:
        shift: to the right, one for all or (H, W).
    """
    columns, rows = _grid(depth.shape)
    if jitter_px:
        # The jitter displaces outlines within the image, not the image's own edge.
        columns, rows = (np.clip(axis + np.float32(jitter_px) * _grain(depth.shape, depth.shape[1] / 60, rng), 0, last)
                         for axis, last in ((columns, depth.shape[1] - 1), (rows, depth.shape[0] - 1)))
    return cv2.remap(depth, columns - np.float32(shift), rows - np.float32(down_px), cv2.INTER_NEAREST,
                     borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan)


def filled(depth: np.ndarray) -> np.ndarray:
    """Holes (NaN) filled smoothly from their surroundings, by a pyramid of means; all NaN stays so."""
    valid = ~np.isnan(depth)
    if valid.all() or not valid.any():
        return depth
    levels = [(np.where(valid, depth, np.float32(0)), valid.astype(np.float32))]
    while max(levels[-1][0].shape) > 1:
        height, width = levels[-1][0].shape
        size = (max(1, width // 2), max(1, height // 2))
        total, weight = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in levels[-1])
        levels.append((total, weight))
    total, weight = levels.pop()
    result: np.ndarray = total / weight
    for total, weight in reversed(levels):
        larger = cv2.resize(result, total.shape[::-1], interpolation=cv2.INTER_LINEAR)
        result = np.where(weight > 0, total / np.maximum(weight, np.float32(1e-6)), larger)
    return result


@lru_cache(maxsize=64)
def field_of_view(shape: tuple[int, int], outline: FieldOfView, size: float,
                  margins: tuple[float, float, float, float]) -> np.ndarray:
    """Pixels inside the depth camera's field of view, (H, W) bool. Do not change it: it is shared."""
    height, width = shape
    y, x = (np.abs(np.linspace(-1, 1, side, dtype=np.float32)) / np.float32(size) for side in shape)
    y = y[:, None]
    inside = {
        FieldOfView.FULL: np.ones(shape, bool),
        # Its left and right corners reach the image's edges, as Azure Kinect's do in the colour image.
        FieldOfView.HEXAGON: (y <= 1) & (x + np.float32(0.35) * y <= 1),
        FieldOfView.OVAL: x ** 2 + y ** 2 <= 1,
        FieldOfView.ROUNDED: x ** 4 + y ** 4 <= np.float32(1.3),
    }[outline].copy()
    left, top, right, bottom = (round(part * side) for part, side in zip(margins, (width, height) * 2))
    inside[:top] = inside[height - bottom:] = False
    inside[:, :left] = inside[:, width - right:] = False
    return inside


def _grain(shape: tuple[int, int], size_px: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of about unit variance whose grain has a size in pixels, (H, W) float32."""
    if size_px < 1:
        return normal(shape, rng)
    height, width = shape
    grid = (max(2, round(height / size_px)), max(2, round(width / size_px)))
    # A cubic enlargement keeps 0.8 of the standard deviation.
    return cv2.resize(normal(grid, rng) * np.float32(1.25), (width, height), interpolation=cv2.INTER_CUBIC)


@lru_cache(maxsize=16)
def _grid(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of every pixel, (H, W) float32 each. Shared: never changed in place."""
    columns, rows = np.meshgrid(np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32))
    return columns, rows
