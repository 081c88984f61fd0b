"""What pixels and stamps alone show of a sensor: frozen, empty, dark, saturated, flat, torn, noisy, out of range.

No learning and no other sensor: it finds the failures that need history or arithmetic, and leaves those that need
understanding to the network's reliability. Every check maps a measured figure to [0, 1] by a ramp; the weakest decides.
Only every n-th row of pixels is used.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import log

import numpy as np

from rsgmamba_ros.pipeline.monitoring.image_history import ImageHistory
from rsgmamba_ros.vocabulary.depth import LARGEST_FLOAT
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality, StampedImage

#: A figure at which quality is 0 and one at which it is 1; falling or rising.
Ramp = tuple[float, float]

#: Causes are named once their check falls below this.
_NAMED_BELOW = 0.9


@dataclass(frozen=True)
class SignalQualityConfig:
    """When an image counts as corrupted. A ramp is (figure of quality 0, figure of quality 1).

    Attributes:
        sampled_rows: rows of pixels that are used.
        history_images: how far back repeated rows are found; 0 switches `frozen` and `torn` off, for
            simulated cameras without noise.
        dark: 90th percentile of the brightest channel, 0..255.
        saturated: share of RGB pixels at the upper end; or of thermal pixels at one extreme value.
        flat_rgb: spread of RGB values between the 5th and 95th percentile, 0..255.
        flat_depth_mm: likewise of depth, millimetres.
        flat_thermal: likewise of thermal as a share of the 8-bit range, or of 1000 counts of 16 bit, or of 10 units of
            32FC1.
        valid_depth: share of depth pixels with an echo.
        depth_range_m: plausible distances, metres.
        out_of_range: share of the echoes outside it.
        noise_ratio: noise against its usual level; quality does not fall below `noise_floor` for noise alone.
    """

    sampled_rows: int = 64
    history_images: int = 64
    dark: Ramp = (4.0, 60.0)
    saturated: Ramp = (0.9, 0.35)
    flat_rgb: Ramp = (3.0, 20.0)
    flat_depth_mm: Ramp = (1.0, 5.0)
    flat_thermal: Ramp = (0.005, 0.04)
    valid_depth: Ramp = (0.02, 0.3)
    depth_range_m: tuple[float, float] = (0.1, 20.0)
    out_of_range: Ramp = (0.6, 0.1)
    noise_ratio: Ramp = (24.0, 4.0)
    noise_floor: float = 0.3

    def __post_init__(self) -> None:
        if self.sampled_rows < 8 or self.history_images < 0:
            raise ConfigError(f'sampled_rows is {self.sampled_rows} and history_images {self.history_images}; '
                              f'at least 8 and 0 are needed')


@dataclass(frozen=True)
class SignalQuality:
    """Quality in [0, 1], 0 for an image that shows nothing of the present, and the names of what lowers it."""

    value: float
    causes: tuple[str, ...] = ()


class SignalQualityMonitor:
    """Assesses the images of every sensor, each against its own past. Not thread-safe."""

    def __init__(self, config: SignalQualityConfig | None = None):
        self.config = config or SignalQualityConfig()
        self._tracks: dict[Modality, _Track] = {}

    def reset(self) -> None:
        """Forget all earlier images, as after a jump back in time."""
        self._tracks.clear()

    def assess(self, image: StampedImage) -> SignalQuality:
        """Assess one image. The same image asked for again (same stamp) is not held against it.

        Frozen is a matter of two repeats: one alone halves the quality (`repeated`), since a driver may send an image
        twice; the second takes it to 0, and the first new image ends it.
        """
        track = self._tracks.setdefault(image.modality, _Track(self.config.history_images))
        if track.quality is not None and image.stamp_ns == track.stamp_ns:
            return track.quality
        if image.stamp_ns < track.stamp_ns:
            track.forget_images()
        track.stamp_ns = image.stamp_ns
        track.quality = self._measure(image, track)
        return track.quality

    def _measure(self, image: StampedImage, track: _Track) -> SignalQuality:
        if min(image.size) < 4:
            return SignalQuality(0.0, ('empty',))
        step = max(1, image.size[0] // self.config.sampled_rows)
        rows = np.ascontiguousarray(image.pixels[step // 2::step])
        checks = dict(_CHECKS[image.modality](rows, track, self.config))
        checks['resized'] = track.accept_size(image.size)
        if self.config.history_images:
            checks.update(track.repetition(rows))
        value = min(checks.values())
        causes = tuple(sorted(name for name, part in checks.items() if part < _NAMED_BELOW))
        return SignalQuality(float(value), causes)


class _Track:
    """What is remembered of one sensor."""

    def __init__(self, history_images: int):
        self.stamp_ns = -1
        self.quality: SignalQuality | None = None
        self.history = ImageHistory(history_images)
        self._repeats = 0
        self._noise_level: float | None = None
        self._size: tuple[int, int] | None = None
        self._other_sizes = 0

    def forget_images(self) -> None:
        self.history.clear()
        self._repeats = 0

    def accept_size(self, size: tuple[int, int]) -> float:
        """Half quality while the size is not the usual one; a new size is usual after three images."""
        if self._size is None or self._other_sizes >= 3:
            self._size = size
        self._other_sizes = 0 if size == self._size else self._other_sizes + 1
        return 0.5 if self._other_sizes else 1.0

    def repetition(self, rows: np.ndarray) -> Iterable[tuple[str, float]]:
        """Checks against earlier images.

        Args:
            rows: sampled rows of pixels, (R, W) or (R, W, C).
        """
        found = self.history.compare_and_add(rows)
        self._repeats = self._repeats + 1 if found.identical else 0
        if self._repeats:
            yield ('repeated', 0.5) if self._repeats == 1 else ('frozen', 0.0)
        elif found.stale_share:
            yield 'torn', 0.5 * (1 - found.stale_share)

    def noise(self, sigma: float, floor: float, usual_at_most: float, config: SignalQualityConfig) -> float:
        """Quality by noise against the level learned so far.

        The level falls at once and rises slowly, so that lasting noise is not taken for usual soon.

        Args:
            floor: noise that does not matter, added to both sides of the ratio.
            usual_at_most: no sensor of this kind is noisier than this when all is well.
        """
        worst, best = config.noise_ratio
        level = min(sigma if self._noise_level is None else self._noise_level, usual_at_most)
        ratio = (sigma + floor) / (level + floor)
        self._noise_level = sigma if sigma < level else level * 1.003 + 0.001 * floor
        return max(config.noise_floor, _ramp(log(max(ratio, 1e-6)), (log(worst), log(best))))


def _ramp(figure: float, ramp: Ramp) -> float:
    bad, good = ramp
    return float(min(max((figure - bad) / (good - bad), 0.0), 1.0))


def _check_rgb(rows: np.ndarray, track: _Track, config: SignalQualityConfig) -> Iterable[tuple[str, float]]:
    """Rows of pixels, (R, W, 3) or (R, W), uint8 -> each check's name and quality."""
    brightest = rows[::2, ::4]
    brightest = brightest.max(axis=2) if brightest.ndim == 3 else brightest
    counts = np.bincount(brightest.ravel(), minlength=256)
    low, p90, high = np.searchsorted(np.cumsum(counts), np.array([0.05, 0.9, 0.95]) * brightest.size)
    yield 'dark', _ramp(p90, config.dark)
    yield 'saturated', _ramp(counts[250:].sum() / brightest.size, config.saturated)
    yield 'flat', _ramp(high - low, config.flat_rgb)
    green = rows[..., 1] if rows.ndim == 3 else rows
    yield 'noisy', track.noise(_noise_sigma(green.astype(np.int16)), 1.0, 6.0, config)
    if high <= 2:
        yield 'empty', 0.0


def _check_depth(rows: np.ndarray, track: _Track, config: SignalQualityConfig) -> Iterable[tuple[str, float]]:
    """Rows of pixels, (R, W), uint16 millimetres or float32 metres -> each check's name and quality."""
    if rows.dtype == np.uint16:
        metres = rows * np.float32(0.001)
        valid = (rows > 0) & (rows < 65535)
    else:
        valid = (rows > 0) & (rows < LARGEST_FLOAT)
        metres = np.where(valid, rows, np.float32(np.nan)).astype(np.float32)
    share = _ramp(valid[:, ::2].mean(), config.valid_depth)
    yield ('empty' if share == 0 else 'sparse'), share
    if share == 0:
        return
    echoes = metres[::2, ::3][valid[::2, ::3]]
    nearest, farthest = config.depth_range_m
    yield 'out_of_range', _ramp(((echoes < nearest) | (echoes > farthest)).mean(), config.out_of_range)
    low, high = np.percentile(echoes, (5, 95))
    yield 'flat', _ramp(1000 * (high - low), config.flat_depth_mm)
    # In units of the noise that a Kinect has at that distance (Nguyen et al. 2012).
    expected = np.float32(0.0012) + np.float32(0.0019) * (metres - np.float32(0.4)) ** 2
    scaled = np.where(valid, metres / expected, np.float32(np.nan))
    yield 'noisy', track.noise(_noise_sigma(scaled), 0.5, 4.0, config)


def _check_thermal(rows: np.ndarray, track: _Track, config: SignalQualityConfig) -> Iterable[tuple[str, float]]:
    """Rows of pixels, (R, W), of any thermal encoding -> each check's name and quality."""
    unit = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 1000.0}.get(rows.dtype, 10.0)
    values = rows.astype(np.float32)
    values[~(np.abs(values) < LARGEST_FLOAT)] = np.nan
    sample = values[::2, ::3]
    finite = sample[np.isfinite(sample)]
    if finite.size < 0.02 * sample.size:
        yield 'empty', 0.0
        return
    low, high = np.percentile(finite, (5, 95))
    yield 'flat', _ramp((high - low) / unit, config.flat_thermal)
    clipped = max((finite == finite.max()).mean(), (finite == finite.min()).mean())
    yield 'saturated', _ramp(clipped, config.saturated)
    yield 'noisy', track.noise(_noise_sigma(values) / unit, 0.004, 0.03, config)


_CHECKS = {Modality.RGB: _check_rgb, Modality.DEPTH: _check_depth, Modality.THERMAL: _check_thermal}

_BLOCK_PX = 16


def _noise_sigma(rows: np.ndarray) -> float:
    """Standard deviation of the noise, from second differences along rows in the smoothest fifth of all blocks.

    Texture has smooth regions too, noise has none.

    Args:
        rows: sampled rows of pixels, (R, W), int16 or float32; NaN where there is no measurement.

    Returns:
        The deviation, in the unit of the pixels; 0 if no block without NaN is left.
    """
    difference = np.abs(2 * rows[:, 1:-1] - rows[:, :-2] - rows[:, 2:])
    width = difference.shape[1] // _BLOCK_PX * _BLOCK_PX
    blocks = difference[:, :width].reshape(len(rows), -1, _BLOCK_PX).mean(axis=2).ravel()
    blocks = blocks[np.isfinite(blocks)]
    if blocks.size == 0:
        return 0.0
    smooth = np.partition(blocks, blocks.size // 5)[blocks.size // 5]
    # Of Gaussian noise with sigma 1, the second difference has a mean magnitude of sqrt(6) * sqrt(2 / pi).
    return float(smooth) / 1.954
