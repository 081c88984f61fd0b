"""Corruptions of colour images, (H, W, 3) uint8.

Constants: ImageNet-C (Hendrycks and Dietterich, ICLR 2019), whose images are 224 px; lengths scale with the shorter
side. Values are on [0, 1] there and here.
"""
from __future__ import annotations

from math import ceil, cos, radians, sin

import cv2
import numpy as np

_REFERENCE_SIDE_PX = 224
_GAMMA = 2.2

_GAUSSIAN_SIGMA = (0.08, 0.12, 0.18, 0.26, 0.38)
_SHOT_PHOTONS = (60, 25, 12, 5, 3)
_IMPULSE_SHARE = (0.03, 0.06, 0.09, 0.17, 0.27)
_DEFOCUS_RADIUS_SIGMA = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
_MOTION_RADIUS_SIGMA = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
_FOG_AMOUNT_DECAY = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
_CONTRAST_LEFT = (0.4, 0.3, 0.2, 0.1, 0.05)
_BRIGHTNESS_GAIN = (0.1, 0.2, 0.3, 0.4, 0.5)
_JPEG_QUALITY = (25, 18, 15, 10, 7)
# Our own: the share of light left, and the gain of exposure.
_DARKNESS_LIGHT = (0.25, 0.12, 0.06, 0.03, 0.012)
_OVER_EXPOSURE_GAIN = (1.6, 2.5, 4.0, 6.5, 10.0)
# A small industrial camera: electrons of a white pixel at the nominal exposure, and the noise of reading one.
_FULL_WELL_E, _READ_NOISE_E = 4000.0, 6.0

_Result = tuple[np.ndarray, None]


def gaussian(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Additive Gaussian noise."""
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return _to_bytes(_to_unit(image) + noise * np.float32(_GAUSSIAN_SIGMA[severity - 1])), None


def shot(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Photon noise: counts of a few photons a pixel.

    The Poisson counts are drawn through Anscombe's transform, ten times faster than exactly.
    """
    photons = np.float32(_SHOT_PHOTONS[severity - 1])
    root = np.asarray(cv2.sqrt(_to_unit(image) * photons + np.float32(0.375)), np.float32)
    root += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(0.5)
    counts = np.round(np.maximum(root, 0) ** 2 - np.float32(0.375))
    return _to_bytes(counts / photons), None


def impulse(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Salt and pepper, each channel on its own."""
    share = _IMPULSE_SHARE[severity - 1]
    draw = rng.random(image.shape, dtype=np.float32)
    result = image.copy()
    result[draw < share / 2] = 0
    result[draw > 1 - share / 2] = 255
    return result, None


def defocus(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Blur by a disk, its rim softened."""
    reference_radius, sigma = _DEFOCUS_RADIUS_SIGMA[severity - 1]
    radius = reference_radius * _scale(image)
    reach = ceil(radius) + 1
    y, x = np.mgrid[-reach:reach + 1, -reach:reach + 1]
    disk = (x * x + y * y <= radius * radius).astype(np.float32)
    kernel = cv2.GaussianBlur(disk, (3, 3), sigma)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101), None


def motion(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Blur along a line within 45 degrees of the horizontal, fading to one side."""
    radius, sigma = (value * _scale(image) for value in _MOTION_RADIUS_SIGMA[severity - 1])
    angle = radians(rng.uniform(-45, 45))
    steps = np.arange(2 * ceil(radius) + 1)
    reach = int(steps[-1])
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    rows, columns = (np.round(reach + steps * part).astype(int) for part in (sin(angle), cos(angle)))
    np.add.at(kernel, (rows, columns), np.exp(-steps ** 2 / (2 * sigma ** 2)))
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101), None


def fog(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """A bright cloud whose octaves fade by the decay constant (in place of the diamond-square fractal)."""
    amount, decay = _FOG_AMOUNT_DECAY[severity - 1]
    height, width = image.shape[:2]
    cloud = np.zeros((height, width), np.float32)
    for octave in range(8):
        grid = rng.random((2 ** octave + 1, 2 ** octave + 1), dtype=np.float32) * np.float32(decay ** -octave)
        cloud += cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
    cloud -= cloud.min()
    cloud /= max(float(cloud.max()), 1e-6)
    unit = _to_unit(image)
    brightest = float(unit.max())
    unit += (cloud * np.float32(amount))[..., None]
    return _to_bytes(unit * np.float32(brightest / (brightest + amount))), None


def contrast(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Values pulled towards the mean of each channel."""
    unit = _to_unit(image)
    mean = unit.mean(axis=(0, 1), keepdims=True)
    return _to_bytes((unit - mean) * np.float32(_CONTRAST_LEFT[severity - 1]) + mean), None


def brightness(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """The value of HSV raised by a constant."""
    hsv = cv2.cvtColor(_to_unit(image), cv2.COLOR_RGB2HSV)
    hsv[..., 2] = np.minimum(hsv[..., 2] + np.float32(_BRIGHTNESS_GAIN[severity - 1]), 1)
    return _to_bytes(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)), None


def jpeg(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Compression artefacts."""
    _, buffer = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY[severity - 1]])
    # Encoded and decoded alike as if the channels were BGR: only the chroma weights differ slightly.
    decoded = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded just now
    return decoded, None


def darkness(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Little light: few electrons, their shot noise, read noise, and a gain that makes up for part of it."""
    light = _DARKNESS_LIGHT[severity - 1]
    electrons = _linear(image) * np.float32(_FULL_WELL_E * light)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    electrons += noise * cv2.sqrt(electrons + np.float32(_READ_NOISE_E ** 2))
    gain = light ** -0.25
    return _display(electrons * np.float32(gain / _FULL_WELL_E)), None


def over_exposure(image: np.ndarray, severity: int, rng: np.random.Generator) -> _Result:
    """Too long an exposure: clipped highlights that bloom into their surroundings."""
    light = _linear(image) * np.float32(_OVER_EXPOSURE_GAIN[severity - 1])
    sigma = 4 * _scale(image)
    light += np.float32(0.2) * cv2.GaussianBlur(np.maximum(light - 1, 0), (0, 0), sigma)
    return _display(light), None


def _scale(image: np.ndarray) -> float:
    return float(min(image.shape[:2]) / _REFERENCE_SIDE_PX)


def _to_unit(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) * np.float32(1 / 255)


def _to_bytes(unit: np.ndarray) -> np.ndarray:
    encoded: np.ndarray = cv2.convertScaleAbs(np.maximum(unit, 0), alpha=255)
    return encoded


_TO_LINEAR = (np.linspace(0, 1, 256) ** _GAMMA).astype(np.float32)
_TO_DISPLAY = np.round(np.linspace(0, 1, 4096) ** (1 / _GAMMA) * 255).astype(np.uint8)


def _linear(image: np.ndarray) -> np.ndarray:
    """Bytes with display gamma -> light on [0, 1]."""
    return np.take(_TO_LINEAR, image)


def _display(light: np.ndarray) -> np.ndarray:
    """Light -> bytes with display gamma, clipped."""
    index: np.ndarray = np.clip(light, 0, 1) * 4095
    return np.take(_TO_DISPLAY, index.astype(np.int16))
