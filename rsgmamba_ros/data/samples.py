"""Labelled samples in sensor units: what every dataset gives, and how training varies them."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled image pair.

    Attributes:
        rgb: (H, W, 3) uint8.
        auxiliary: (H, W) float32, metres or the thermal unit, NaN where there is no measurement.
        label_map: (H, W) uint8.
        name: what to call it in reports.
        earlier: the same scene shortly before or after, for the families that need another time; None where the
            dataset holds single images.
    """

    rgb: np.ndarray
    auxiliary: np.ndarray
    label_map: np.ndarray
    name: str = ''
    earlier: Sample | None = None


class Dataset(Protocol):
    """A list of samples of one label space."""

    labels: LabelSpace
    auxiliary: Modality

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class AugmentationConfig:
    """How training samples vary.

    Attributes:
        min_scale: smallest enlargement of the image before the crop.
        max_scale: largest enlargement.
        flip: probability of a left-right flip.
        colour: largest relative change of brightness, contrast and saturation, RGB only.
    """

    min_scale: float = 0.5
    max_scale: float = 1.25
    flip: float = 0.5
    colour: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.min_scale <= self.max_scale:
            raise ConfigError(f'scales must satisfy 0 < min_scale <= max_scale, got {self.min_scale}, {self.max_scale}')
        if not 0 <= self.flip <= 1 or not 0 <= self.colour < 1:
            raise ConfigError('flip must lie in 0..1 and colour in 0..1 (1 excluded)')


def augment(sample: Sample, height: int, width: int, config: AugmentationConfig, *, rng: np.random.Generator,
            ignore_index: int) -> Sample:
    """Scale, crop to (height, width), flip and recolour; the earlier images get the same crop.

    A scene that has become smaller than the crop is set into invalid depth, black RGB and ignored labels.
    """
    scale = float(np.exp(rng.uniform(np.log(config.min_scale), np.log(config.max_scale))))
    rows, columns = (max(1, round(side * scale)) for side in sample.label_map.shape)
    top, left = (rng.integers(min(0, size - side), max(0, size - side) + 1)
                 for size, side in ((rows, height), (columns, width)))
    flip = rng.random() < config.flip
    gains = 1 + rng.uniform(-config.colour, config.colour, 3)

    def varied(item: Sample) -> Sample:
        return replace(
            item, rgb=_recolour(_window(item.rgb, rows, columns, top, left, height, width, flip, 0), gains),
            auxiliary=_window(item.auxiliary, rows, columns, top, left, height, width, flip, np.nan),
            label_map=_window(item.label_map, rows, columns, top, left, height, width, flip, ignore_index))

    earlier = varied(sample.earlier) if sample.earlier is not None else None
    return replace(varied(sample), earlier=earlier)


def _window(image: np.ndarray, rows: int, columns: int, top: int, left: int, height: int, width: int, flip: bool,
            blank: float) -> np.ndarray:
    """Resize to (rows, columns), then cut (height, width) from (top, left), which may be negative."""
    if image.shape[:2] != (rows, columns):
        smooth = image.ndim == 3
        shrink = rows < image.shape[0]
        method = (cv2.INTER_AREA if shrink else cv2.INTER_LINEAR) if smooth else cv2.INTER_NEAREST
        image = cv2.resize(image, (columns, rows), interpolation=method)
    cut = image[max(top, 0):top + height, max(left, 0):left + width]
    if cut.shape[:2] != (height, width):
        whole = np.full((height, width, *image.shape[2:]), blank, image.dtype)
        above, beside = max(-top, 0), max(-left, 0)
        whole[above:above + cut.shape[0], beside:beside + cut.shape[1]] = cut
        cut = whole
    return np.ascontiguousarray(cut[:, ::-1] if flip else cut)


def _recolour(rgb: np.ndarray, gains: np.ndarray) -> np.ndarray:
    brightness, contrast, saturation = gains
    values = rgb.astype(np.float32)
    mean = values[::4, ::4].mean()
    values = (values - mean) * np.float32(contrast) + mean * np.float32(brightness)
    luminance = values.mean(axis=2, keepdims=True)
    values = luminance + (values - luminance) * np.float32(saturation)
    return np.clip(values, 0, 255).astype(np.uint8)
