"""Colour cameras: exposure, colours, lens and processing of one camera, and the image it gives. Ranges are own."""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
import math
from statistics import NormalDist

import cv2
import numpy as np

from rsgmamba_ros.data.sensors.randomness import log_uniform

_REFERENCE_WIDTH_PX = 640
#: Weights of R, G and B in the luminance (ITU-R BT.601).
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
#: 256 quantiles of the normal distribution, for noise of a few grey values.
_NORMAL_BYTES = np.array([NormalDist().inv_cdf((step + 0.5) / 256) for step in range(256)])


@dataclass(frozen=True)
class ColourSensor:
    """One colour camera: everything that stays the same from image to image. The defaults change nothing.

    Attributes:
        exposure: factor on the values.
        exposure_jitter: how much the automatic exposure varies from image to image, natural logarithm.
        gamma: exponent of the values on 0..1.
        gains: white balance, a factor for each of R, G and B.
        saturation: factor on the difference from grey.
        blur_px: standard deviation of the lens blur, pixels of an image 640 wide.
        resolution: share of the image's columns that the sensor resolves.
        sharpening: weight of the unsharp mask that makes halos.
        vignetting: share of light lost in the corners.
        noise: standard deviation, grey values of 255.
        jpeg_quality: 0 for no compression.
    """

    exposure: float = 1.0
    exposure_jitter: float = 0.0
    gamma: float = 1.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    blur_px: float = 0.0
    resolution: float = 1.0
    sharpening: float = 0.0
    vignetting: float = 0.0
    noise: float = 0.0
    jpeg_quality: int = 0


def draw_colour_sensor(rng: np.random.Generator) -> ColourSensor:
    """Draw one healthy colour camera. About one in six is the one that took the images."""
    if rng.random() < 0.16:
        return ColourSensor()

    def sometimes(share: float, low: float, high: float) -> float:
        return float(rng.uniform(low, high)) if rng.random() < share else 0.0

    red, blue = np.exp(rng.normal(0, 0.1, 2))
    return ColourSensor(
        exposure=log_uniform(0.65, 1.4, rng), exposure_jitter=sometimes(0.7, 0, 0.12),
        gamma=log_uniform(0.75, 1.35, rng), gains=(float(red), 1.0, float(blue)),
        saturation=float(rng.uniform(0.5, 1.5)) if rng.random() > 0.04 else 0.0,
        blur_px=sometimes(0.4, 0.4, 1.6), resolution=1 - sometimes(0.4, 0, 0.55), sharpening=sometimes(0.4, 0.2, 1.5),
        vignetting=sometimes(0.4, 0, 0.45), noise=sometimes(0.6, 0, 6),
        jpeg_quality=int(sometimes(0.4, 55, 96)))


def apply_colour(sensor: ColourSensor, rgb: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """The image that this camera would have given, (H, W, 3) uint8, a new array.

    Args:
        rng: what differs between images of one camera: noise, and where its automatic exposure settled.
    """
    if rgb.size == 0 or sensor == ColourSensor():
        return rgb.copy()
    image = _resolved(sensor, rgb)
    if sensor.vignetting:
        image = cv2.multiply(image, _corner_light(image.shape[:2], sensor.vignetting), scale=1 / 255)
    image = _toned(sensor, image, rng)
    if sensor.noise:
        # Noise comes before the sharpening, which enhances it, as in a camera.
        table = np.round(_NORMAL_BYTES * sensor.noise).astype(np.int8)
        grain = np.take(table, rng.integers(0, 256, image.shape, dtype=np.uint8))
        image = cv2.add(image, grain, dtype=cv2.CV_8U)
    if sensor.sharpening:
        soft = cv2.GaussianBlur(image, (0, 0), max(0.8, 1.5 * image.shape[1] / _REFERENCE_WIDTH_PX))
        image = cv2.addWeighted(image, 1 + sensor.sharpening, soft, -sensor.sharpening, 0)
    if sensor.jpeg_quality:
        # Channels are taken as BGR both ways: only the chroma weights differ slightly.
        _, buffer = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg_quality])
        image = np.asarray(cv2.imdecode(buffer, cv2.IMREAD_COLOR))
    return image


def _resolved(sensor: ColourSensor, rgb: np.ndarray) -> np.ndarray:
    """Lens blur and pixels of the sensor."""
    height, width = rgb.shape[:2]
    image = rgb
    if sensor.blur_px:
        image = cv2.GaussianBlur(image, (0, 0), max(0.3, sensor.blur_px * width / _REFERENCE_WIDTH_PX))
    if sensor.resolution < 1:
        size = (max(1, round(width * sensor.resolution)), max(1, round(height * sensor.resolution)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return image


def _toned(sensor: ColourSensor, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Saturation, then exposure, white balance and gamma in one table of values a channel."""
    if sensor.saturation != 1:
        mix = np.eye(3, dtype=np.float32) * np.float32(sensor.saturation)
        image = cv2.transform(image, mix + np.float32(1 - sensor.saturation) * _LUMINANCE)
    exposure = sensor.exposure * math.exp(float(rng.normal(0, 1)) * sensor.exposure_jitter)
    values = np.linspace(0, 1, 256)[:, None] * np.array(sensor.gains) * exposure
    table = np.round(np.minimum(values, 1) ** sensor.gamma * 255).astype(np.uint8)
    return cv2.LUT(image, table[None])


@lru_cache(maxsize=64)
def _corner_light(shape: tuple[int, int], lost: float) -> np.ndarray:
    """Light that reaches each pixel, (H, W, 3) uint8, 255 in the middle. Shared: never changed."""
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) if side > 1 else np.zeros(1, np.float32) for side in shape)
    light = 1 - np.float32(lost) * (x[None] ** 2 + y[:, None] ** 2) / 2
    return cv2.merge([np.round(light * 255).astype(np.uint8)] * 3)
