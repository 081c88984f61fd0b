"""One image bundle -> the network's input tensors; training goes through the same functions.

Two steps for each modality, both on NumPy arrays:

- `sensor_units`: pixels as the driver sent them -> RGB 0..255, depth in metres, thermal in its unit; NaN is invalid.
- `network_input`: sensor units -> (3, H, W) float32, resized, normalised and padded to the network's stride.

Corruptions act between the two, as failures do.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from rsgmamba_ros.pipeline.resampling import fill_small_holes, resize
from rsgmamba_ros.vocabulary.depth import depth_in_metres, LARGEST_FLOAT
from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality, StampedImage
from rsgmamba_ros.vocabulary.preprocessing import (
    DepthLaw,
    DepthScaling,
    INVALID_VALUE,
    NORMALISED_RANGE,
    PreprocessingConfig,
    ThermalScaling,
    ThermalStretch,
)

#: Images with a shorter side cannot show a scene; drivers that misbehave send 1x1.
MIN_SIDE = 16

#: Encodings a modality may have, and the dtype of their pixels.
ENCODINGS: dict[Modality, dict[str, type[np.generic]]] = {
    Modality.RGB: {'rgb8': np.uint8, 'mono8': np.uint8},
    Modality.DEPTH: {'16UC1': np.uint16, 'mono16': np.uint16, '32FC1': np.float32},
    Modality.THERMAL: {'mono8': np.uint8, 'mono16': np.uint16, '16UC1': np.uint16, '32FC1': np.float32},
}


def sensor_units(image: StampedImage, config: PreprocessingConfig) -> np.ndarray:
    """Bring one image to sensor units.

    Returns:
        RGB: (H, W, 3) uint8. Depth: (H, W) float32 metres. Thermal: (H, W) float32 in the configured unit.
        NaN marks pixels without a measurement: zero and 65535 in integer depth, anything not finite
        or not positive in float depth (REP-117, REP-118), anything that is no number below `LARGEST_FLOAT` in thermal.

    Raises:
        ImageError: encoding, dtype, shape or size do not fit the modality, or no pixel holds a measurement.
    """
    check_image(image)
    pixels = image.pixels
    if image.modality is Modality.RGB:
        return np.repeat(pixels[..., None], 3, axis=2) if image.encoding == 'mono8' else pixels
    values = depth_in_metres(image.pixels) if image.modality is Modality.DEPTH else _thermal_unit(image, config.thermal)
    if np.isnan(values).all():
        raise ImageError(f'{image.modality} image has no valid pixel')
    return values


def check_image(image: StampedImage) -> None:
    """Check that encoding, dtype, shape and size of an image fit its modality.

    Raises:
        ImageError: they do not; the message names what was expected.
    """
    allowed = ENCODINGS[image.modality]
    if image.encoding not in allowed:
        raise ImageError(f'{image.modality} image has encoding {image.encoding!r}; expected one of {sorted(allowed)}')
    dtype = np.dtype(allowed[image.encoding])
    if image.pixels.dtype != dtype:
        raise ImageError(f'{image.modality} image {image.encoding} holds {image.pixels.dtype}; expected {dtype}')
    shape = image.pixels.shape
    if len(shape) != (3 if image.encoding == 'rgb8' else 2) or (image.encoding == 'rgb8' and shape[2] != 3):
        raise ImageError(f'{image.modality} image {image.encoding} has shape {shape}')
    if min(shape[:2]) < MIN_SIDE:
        raise ImageError(f'{image.modality} image is {shape[0]}x{shape[1]}; at least {MIN_SIDE}x{MIN_SIDE} is needed')


def _thermal_unit(image: StampedImage, scaling: ThermalScaling) -> np.ndarray:
    """(H, W) float32, NaN where there is no measurement."""
    if image.encoding != '32FC1':
        return image.pixels * np.float32(scaling.scale) + np.float32(scaling.offset)
    values = image.pixels.copy()
    values[~(np.abs(values) < LARGEST_FLOAT)] = np.nan
    return values


def network_input(values: np.ndarray, modality: Modality, config: PreprocessingConfig) -> np.ndarray:
    """Sensor units -> what the network sees of one modality.

    Args:
        values: as `sensor_units` gives it, any size: (h, w, 3) uint8 or (h, w) float32.

    Returns:
        (3, H, W) float32 of the padded size, C-contiguous. Depth and thermal repeat one channel.
    """
    height, width = config.height, config.width
    out = np.empty((3, *config.padded_size), np.float32)
    if modality is Modality.RGB:
        _normalise_rgb(resize(values, height, width), config, out[:, :height, :width])
    else:
        # Nearest for depth: the mean of a near and a far surface is a distance at which there is nothing.
        nearest = modality is Modality.DEPTH
        values = fill_small_holes(resize(values, height, width, nearest=nearest))
        unit = depth_to_unit(values, config.depth) if nearest else thermal_to_unit(values, config.thermal)
        unit -= 0.5
        unit *= NORMALISED_RANGE
        np.copyto(unit, INVALID_VALUE, where=np.isnan(unit))
        out[:, :height, :width] = unit
    out[:, height:, :width] = out[:, height - 1:height, :width]
    out[:, :, width:] = out[:, :, width - 1:width]
    return out


def _normalise_rgb(rgb: np.ndarray, config: PreprocessingConfig, out: np.ndarray) -> None:
    """(H, W, 3) uint8 -> `out`, (3, H, W) float32."""
    for channel, (mean, std) in enumerate(zip(config.rgb_mean, config.rgb_std)):
        np.multiply(rgb[..., channel], np.float32(1 / (255 * std)), out=out[channel])
        out[channel] -= np.float32(mean / std)


def depth_to_unit(metres: np.ndarray, scaling: DepthScaling) -> np.ndarray:
    """Scale metres to [0, 1], near to far; NaN stays NaN.

    Args:
        metres: (H, W) float32.

    Returns:
        A new array, (H, W) float32.
    """
    near, far = np.float32(scaling.min_m), np.float32(scaling.max_m)
    unit: np.ndarray = np.clip(metres, near, far)
    if scaling.law is DepthLaw.LOG:
        unit = np.log(unit / near) / np.log(far / near)
    elif scaling.law is DepthLaw.INVERSE:
        unit = (1 / near - 1 / unit) / (1 / near - 1 / far)
    else:
        unit = (unit - near) / (far - near)
    return unit


def thermal_to_unit(values: np.ndarray, scaling: ThermalScaling) -> np.ndarray:
    """Scale values in the thermal unit to [0, 1], cold to hot; NaN stays NaN.

    Args:
        values: (H, W) float32.

    Returns:
        A new array, (H, W) float32.
    """
    low, span = thermal_range(values, scaling)
    unit: np.ndarray = np.clip((values - low) / span, 0, 1)
    return unit


def thermal_range(values: np.ndarray, scaling: ThermalScaling) -> tuple[np.float32, np.float32]:
    """The limits of the stretch.

    Args:
        values: (H, W) float32 in the thermal unit.

    Returns:
        The value that becomes 0, and the width of the range that becomes 0..1, both in the thermal unit.
    """
    low, high = scaling.low, scaling.high
    if scaling.stretch is ThermalStretch.PERCENTILE:
        sample = values[::4, ::4]
        sample = sample[~np.isnan(sample)]
        low, high = np.percentile(sample, (1, 99)) if sample.size else (0.0, 1.0)
    return np.float32(low), np.float32(max(float(high - low), 1e-6))


def preprocess(bundle: ImageBundle, used: Collection[Modality], config: PreprocessingConfig, *,
               modalities: tuple[Modality, ...]) -> tuple[Tensor, Tensor]:
    """One bundle -> the network's arguments.

    Args:
        used: modalities to give to the network; each must have an image in the bundle.
        modalities: the network's order: RGB, then the auxiliary one.

    Returns:
        images (1, M, 3, H, W) float32, zero where not used; available (1, M) bool.

    Raises:
        ImageError: see `sensor_units`.
    """
    values = {}
    for modality in used:
        image = bundle.image(modality)
        if image is None:
            raise ImageError(f'the bundle has no {modality} image')
        values[modality] = sensor_units(image, config)
    return stack_inputs(values, config, modalities=modalities)


def stack_inputs(values: Mapping[Modality, np.ndarray], config: PreprocessingConfig, *,
                 modalities: tuple[Modality, ...]) -> tuple[Tensor, Tensor]:
    """Images in sensor units -> the network's arguments.

    Args:
        values: the used modalities' images, as `sensor_units` gives them: (H, W, 3) uint8 or (H, W) float32.
        modalities: the network's order: RGB, then the auxiliary one.

    Returns:
        images (1, M, 3, H, W) float32, zero where not used; available (1, M) bool.
    """
    images = np.zeros((1, len(modalities), 3, *config.padded_size), np.float32)
    for index, modality in enumerate(modalities):
        if modality in values:
            images[0, index] = network_input(values[modality], modality, config)
    available = torch.tensor([[modality in values for modality in modalities]])
    return torch.from_numpy(images), available
