"""Thermal cameras: gain control, resolution and fixed pattern of one camera, and the image it gives."""
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

from rsgmamba_ros.data.corruptions.fields import smooth_field
from rsgmamba_ros.data.sensors.randomness import log_uniform, normal
from rsgmamba_ros.vocabulary.errors import ConfigError

_REFERENCE_WIDTH_PX = 640
#: Widths of current cores: FLIR Lepton 3 160, Boson and Tau 2 320 and 640 (their data sheets).
_SENSOR_WIDTH_PX = (160, 640)
#: Percentiles cut off at either end by the linear gain control ("tail rejection", FLIR application note
#: 102-PS242-100-01 for Tau 2); the same note describes plateau equalisation.
_TAIL_PERCENT = (0.0, 5.0)
#: Thermal sensitivity is 0.04 to 0.05 K (Boson, Lepton data sheets), of scenes that span 5 to 30 K; own upper end.
_NOISE_SHARE = (0.002, 0.02)
#: A raw image holds 14 bits; a scene of everyday temperatures fills a small part of them.
_RAW_SHARE = (0.08, 0.5)


class GainControl(str, Enum):
    """How a thermal camera maps what it measures to its output."""

    AS_RECORDED = 'as_recorded'  #: left as it is
    LINEAR = 'linear'            #: percentiles stretched to the whole range
    EQUALISED = 'equalised'      #: histogram equalised, with a plateau
    LOCAL = 'local'              #: equalised in tiles (CLAHE)
    RAW = 'raw'                  #: a fixed, narrow part of the range


@dataclass(frozen=True)
class ThermalSensor:
    """One thermal camera: everything that stays the same from image to image. The defaults change nothing.

    Attributes:
        low: least value of the output, in the thermal unit.
        high: greatest value.
        tail_percent: cut off at each end before the stretch.
        equalisation: 0 stretches linearly, 1 equalises fully.
        raw_share: share of the range that the scene fills, for `RAW`.
        raw_level: where the middle of that share lies, 0..1.
        inverted: hot is dark ("black hot").
        width_px: columns of the sensor; 0 for those of the image.
        blur_px: standard deviation of the lens blur, pixels of an image 640 wide.
        edge_blur: how much of a second, wider blur is mixed in towards the edges, 0..1.
        noise: of pixels, as a share of the range.
        stripes: fixed pattern of columns, as a share of the range.
        shading: fixed slow change over the image, as a share of the range.
        pattern_seed: which fixed pattern.
    """

    gain_control: GainControl = GainControl.AS_RECORDED
    low: float = 0.0
    high: float = 255.0
    tail_percent: float = 1.0
    equalisation: float = 1.0
    raw_share: float = 0.3
    raw_level: float = 0.5
    inverted: bool = False
    width_px: int = 0
    blur_px: float = 0.0
    edge_blur: float = 0.0
    noise: float = 0.0
    stripes: float = 0.0
    shading: float = 0.0
    pattern_seed: int = 0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(f'thermal limits must satisfy low < high, got {self.low} and {self.high}')


def draw_thermal_sensor(rng: np.random.Generator, *, low: float = 0.0, high: float = 255.0) -> ThermalSensor:
    """Draw one healthy thermal camera whose output lies in [low, high] of the thermal unit."""
    gain = GainControl(rng.choice([str(kind.value) for kind in GainControl], p=(0.2, 0.25, 0.2, 0.15, 0.2)))
    if gain is GainControl.AS_RECORDED and rng.random() < 0.5:
        return ThermalSensor(low=low, high=high)
    share = float(rng.uniform(*_RAW_SHARE))
    return ThermalSensor(
        gain, low, high, tail_percent=float(rng.uniform(*_TAIL_PERCENT)), equalisation=float(rng.uniform(0.3, 1)),
        raw_share=share, raw_level=float(rng.uniform(share / 2, 1 - share / 2)), inverted=bool(rng.random() < 0.05),
        width_px=int(log_uniform(*_SENSOR_WIDTH_PX, rng)), blur_px=float(rng.uniform(0, 2)),
        edge_blur=float(rng.uniform(0, 1)) if rng.random() < 0.4 else 0.0, noise=log_uniform(*_NOISE_SHARE, rng),
        stripes=float(rng.uniform(0, 0.012)) if rng.random() < 0.5 else 0.0,
        shading=float(rng.uniform(0, 0.03)) if rng.random() < 0.4 else 0.0, pattern_seed=int(rng.integers(2 ** 31)))


def apply_thermal(sensor: ThermalSensor, thermal: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """The thermal image that this camera would have given.

    Args:
        thermal: (H, W) float32, in the thermal unit, NaN where there is no measurement.
        rng: what differs between images of one camera: noise.

    Returns:
        (H, W) float32 in [sensor.low, sensor.high], NaN where `thermal` is; a new array. With the gain control
        `AS_RECORDED` values outside the limits stay outside.
    """
    valid = np.isfinite(thermal)
    if sensor == ThermalSensor(low=sensor.low, high=sensor.high) or not valid.any():
        return thermal.copy()
    span = np.float32(sensor.high - sensor.low)
    unit = (np.where(valid, thermal, thermal[valid].mean()) - np.float32(sensor.low)) / span
    unit = _gained(sensor, _blurred(sensor, unit))
    unit = unit + _pattern(sensor, unit.shape)
    if sensor.noise:
        unit = unit + normal(unit.shape, rng) * np.float32(sensor.noise)
    if sensor.gain_control is not GainControl.AS_RECORDED:
        unit = np.clip(unit, 0, 1)
    if sensor.inverted:
        unit = 1 - unit
    return np.where(valid, unit * span + np.float32(sensor.low), np.float32(np.nan))


def _blurred(sensor: ThermalSensor, unit: np.ndarray) -> np.ndarray:
    height, width = unit.shape
    sigma = sensor.blur_px * width / _REFERENCE_WIDTH_PX
    if 0 < sensor.width_px < width:
        size = (sensor.width_px, max(1, round(height * sensor.width_px / width)))
        small = cv2.resize(unit, size, interpolation=cv2.INTER_AREA)
        unit = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if sigma > 0.2:
        unit = cv2.GaussianBlur(unit, (0, 0), sigma)
    if sensor.edge_blur:
        y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in unit.shape)
        share = np.float32(sensor.edge_blur / 2) * (y[:, None] ** 2 + x ** 2)
        unit = unit + share * (cv2.GaussianBlur(unit, (0, 0), max(0.5, 3 * width / _REFERENCE_WIDTH_PX)) - unit)
    return unit


def _gained(sensor: ThermalSensor, unit: np.ndarray) -> np.ndarray:
    """Values on the range of the input -> values on that of the output, both 0..1."""
    kind = sensor.gain_control
    result: np.ndarray = unit
    if kind is GainControl.RAW:
        result = np.float32(sensor.raw_level) + (np.clip(unit, 0, 1) - np.float32(0.5)) * np.float32(sensor.raw_share)
    elif kind is not GainControl.AS_RECORDED:
        result = _stretched(unit, sensor.tail_percent)
    if kind is GainControl.LOCAL:
        equal = cv2.createCLAHE(clipLimit=2.5, tileGridSize=(4, 4)).apply((result * 255).astype(np.uint8))
        result = equal.astype(np.float32) * np.float32(1 / 255)
    if kind is GainControl.EQUALISED:
        levels = np.linspace(0, 1, 257)
        counted = np.bincount((result * 255.99).astype(np.uint8).ravel(), minlength=256)
        shares = np.concatenate([[0.0], np.cumsum(counted) / result.size])
        table = (sensor.equalisation * shares + (1 - sensor.equalisation) * levels).astype(np.float32)
        # Between the 256 levels of the table values are interpolated.
        position = result * np.float32(255.99)
        below = position.astype(np.int16)
        result = table[below] + (position - below) * (table[below + 1] - table[below])
    return result


def _stretched(unit: np.ndarray, tail_percent: float) -> np.ndarray:
    stride = max(1, int((unit.size / 5000) ** 0.5))
    low, high = np.percentile(unit[::stride, ::stride], (tail_percent, 100 - tail_percent))
    stretched: np.ndarray = np.clip((unit - np.float32(low)) / np.float32(max(high - low, 1e-6)), 0, 1)
    return stretched


def _pattern(sensor: ThermalSensor, shape: tuple[int, int]) -> np.ndarray:
    """The camera's fixed pattern, the same for every image of one size."""
    rng = np.random.default_rng(sensor.pattern_seed)
    pattern: np.ndarray = np.zeros((1, 1), np.float32)
    if sensor.stripes:
        pattern = pattern + rng.standard_normal((1, shape[1]), dtype=np.float32) * np.float32(sensor.stripes)
    if sensor.shading:
        pattern = pattern + smooth_field(shape, rng, cells=2) * np.float32(sensor.shading)
    return pattern
