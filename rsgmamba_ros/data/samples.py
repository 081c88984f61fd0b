"""Labelled samples in sensor units: what every dataset gives, and how training varies them."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage
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
    """A list of samples of one label space.

    Attributes:
        is_labelled: False where every pixel is ignored; reliability can be measured all the same.
    """

    labels: LabelSpace
    auxiliary: Modality
    is_labelled: bool

    @property
    def digest(self) -> str:
        """Identifies the content, hexadecimal: equal digests mean equal samples in equal order."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


def bundle_of(values: Mapping[Modality, np.ndarray], stamp_ns: int) -> ImageBundle:
    """Make a bundle of images in sensor units; the first one leads.

    Args:
        values: (H, W, 3) uint8 or (H, W) float32.
        stamp_ns: of every image.
    """
    # Float images hold metres and the thermal unit itself: no sensor's scale stands between.
    images = {modality: StampedImage(modality, stamp_ns, stamp_ns, image,
                                     'rgb8' if modality is Modality.RGB else '32FC1')
              for modality, image in values.items()}
    slots = {modality: BundleSlot(Presence.PRESENT, image, 0.0, 0.0) for modality, image in images.items()}
    return ImageBundle(next(iter(values)), slots, stamp_ns)


@dataclass(frozen=True)
class AugmentationConfig:
    """How training samples vary.

    Attributes:
        min_scale: smallest enlargement of the image, before failures and crop.
        max_scale: largest enlargement.
        approach: greatest factor by which the camera comes closer to a part of the image, of half of the samples:
            that part is enlarged, and its distances are divided by the factor. 1 for never, and for thermal images.
        flip: probability of a left-right flip.
        colour: largest relative change of brightness, contrast and saturation, RGB only.
    """

    min_scale: float = 0.5
    max_scale: float = 1.25
    approach: float = 1.0
    flip: float = 0.5
    colour: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.min_scale <= self.max_scale:
            raise ConfigError(f'scales must satisfy 0 < min_scale <= max_scale, got {self.min_scale}, {self.max_scale}')
        if self.approach < 1:
            raise ConfigError(f'approach is {self.approach}; it is a factor of 1 or more')
        if not 0 <= self.flip <= 1 or not 0 <= self.colour < 1:
            raise ConfigError('flip must lie in 0..1 and colour in 0..1 (1 excluded)')


#: Share of the samples that the camera comes closer to.
APPROACHED = 0.5


def vary(sample: Sample, config: AugmentationConfig, *, rng: np.random.Generator) -> Sample:
    """Approach, scale, flip and recolour a sample; its earlier images in the same way."""
    if config.approach > 1 and rng.random() < APPROACHED:
        sample = _approached(sample, float(np.exp(rng.uniform(0, np.log(config.approach)))), rng)
    scale = float(np.exp(rng.uniform(np.log(config.min_scale), np.log(config.max_scale))))
    rows, columns = (max(1, round(side * scale)) for side in sample.label_map.shape)
    flip = rng.random() < config.flip
    gains = 1 + rng.uniform(-config.colour, config.colour, 3)

    def varied(item: Sample) -> Sample:
        return replace(item, rgb=_recolour(_scaled(item.rgb, rows, columns, flip), gains),
                       auxiliary=_scaled(item.auxiliary, rows, columns, flip),
                       label_map=_scaled(item.label_map, rows, columns, flip))

    earlier = varied(sample.earlier) if sample.earlier is not None else None
    return replace(varied(sample), earlier=earlier)


def _approached(sample: Sample, factor: float, rng: np.random.Generator) -> Sample:
    """A part of the scene from closer by, at the size of the whole: distances fall by the factor."""
    height, width = sample.label_map.shape
    window = draw_window((height, width), max(1, round(height / factor)), max(1, round(width / factor)), rng=rng)

    def approached(item: Sample) -> Sample:
        rgb, auxiliary, label_map = (
            _scaled(window.cut(image, blank=0), height, width, False)
            for image in (item.rgb, item.auxiliary / np.float32(factor), item.label_map))
        return replace(item, rgb=rgb, auxiliary=auxiliary, label_map=label_map)

    earlier = approached(sample.earlier) if sample.earlier is not None else None
    return replace(approached(sample), earlier=earlier)


def _scaled(image: np.ndarray, rows: int, columns: int, flip: bool) -> np.ndarray:
    if image.shape[:2] != (rows, columns):
        smooth = cv2.INTER_AREA if rows < image.shape[0] else cv2.INTER_LINEAR
        image = cv2.resize(image, (columns, rows), interpolation=smooth if image.ndim == 3 else cv2.INTER_NEAREST)
    return np.ascontiguousarray(image[:, ::-1]) if flip else image


@dataclass(frozen=True)
class Window:
    """A rectangle to cut from an image; where it reaches beyond the image, it is blank."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, image: np.ndarray, *, blank: float) -> np.ndarray:
        """The part of the image in the window, C-contiguous; `blank` fills what lies outside the image."""
        part = image[max(self.top, 0):self.top + self.height, max(self.left, 0):self.left + self.width]
        if part.shape[:2] == (self.height, self.width):
            return np.ascontiguousarray(part)
        whole = np.full((self.height, self.width, *image.shape[2:]), blank, image.dtype)
        above, beside = max(-self.top, 0), max(-self.left, 0)
        whole[above:above + part.shape[0], beside:beside + part.shape[1]] = part
        return whole


def draw_window(shape: tuple[int, int], height: int, width: int, *, rng: np.random.Generator) -> Window:
    """A random window that lies in the image, or holds it where the image is smaller."""
    top, left = (int(rng.integers(min(0, size - side), max(0, size - side) + 1))
                 for size, side in zip(shape, (height, width)))
    return Window(top, left, height, width)


def _recolour(rgb: np.ndarray, gains: np.ndarray) -> np.ndarray:
    brightness, contrast, saturation = gains
    values = rgb.astype(np.float32)
    mean = values[::4, ::4].mean()
    values = (values - mean) * np.float32(contrast) + mean * np.float32(brightness)
    luminance = values.mean(axis=2, keepdims=True)
    values = luminance + (values - luminance) * np.float32(saturation)
    clipped: np.ndarray = np.clip(values, 0, 255)
    return clipped.astype(np.uint8)
