"""Encodings of raw image messages: how the pixels lie in the data, and how they become RGB or one channel.

`docs/inputs.md` lists them; a test compares.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np

from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import Modality

#: The content of an image of class indices; such images are decoded by the same code as those of sensors.
LABELS: Final = 'labels'

#: What an image shows: a modality, or class indices.
ImageContent: TypeAlias = Modality | Literal['labels']

#: Largest difference between channels, or of chroma from its middle, in a grey image that JPEG has touched.
_GREY_TOLERANCE = 3


@dataclass(frozen=True)
class Layout:
    """How the pixels of an encoding lie in a message.

    Attributes:
        dtype: NumPy type of one channel, native byte order.
        channels: channels of one pixel.
        to_rgb: makes (H, W, 3) uint8 RGB of the pixels; None where they are RGB already, or no colours.
        grey: of the pixels the channel that holds the grey values, and the others with them; None if there is none.
        rows: rows of the data for one row of pixels; more than one where chroma has planes of its own.
        even: whether height and width must be even.
    """

    dtype: type
    channels: int
    to_rgb: Callable[[np.ndarray], np.ndarray] | None = None
    grey: Callable[[np.ndarray], np.ndarray] | None = None
    rows: float = 1
    even: bool = False


def _convert(pixels: np.ndarray, *, code: int) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(pixels), code)


def _convert_deep(pixels: np.ndarray, *, code: int | None) -> np.ndarray:
    pixels = upper_8_bits(pixels)
    return pixels if code is None else cv2.cvtColor(pixels, code)


def upper_8_bits(pixels: np.ndarray) -> np.ndarray:
    """16-bit values of a camera with 8, 10, 12, 14 or 16 bits -> their upper 8 bits, uint8.

    A message does not tell the white level: it is taken to be the lowest of these that no value exceeds.
    """
    bits = int(pixels.max(initial=0)).bit_length()
    return (pixels >> (max(8, bits + bits % 2) - 8)).astype(np.uint8)


def equal_channels(pixels: np.ndarray) -> np.ndarray:
    """The values of a grey image in an encoding for colours, (H, W, C) -> (H, W).

    Raises:
        ImageError: the channels differ: it has colours.
    """
    colours = pixels[..., :3].astype(np.int32)
    _check_grey(np.ptp(colours, axis=2))
    return pixels[..., 1]


def _luma(pixels: np.ndarray, *, channel: int) -> np.ndarray:
    _check_grey(pixels[..., 1 - channel].astype(np.int16) - 128)
    return pixels[..., channel]


def _luma_plane(pixels: np.ndarray, *, rows: float) -> np.ndarray:
    height = round(len(pixels) / rows)
    _check_grey(pixels[height:].astype(np.int16) - 128)
    return pixels[:height]


def _check_grey(differences: np.ndarray) -> None:
    if np.abs(differences).max(initial=0) > _GREY_TOLERANCE:
        raise ImageError('image has colours where one channel is expected; a picture in false colours holds no '
                         'measurements, give the grey or raw values')


def _nv24_to_rgb(pixels: np.ndarray) -> np.ndarray:
    """Luma, and U and V at full resolution in turns, (3H, W) -> RGB."""
    height, width = len(pixels) // 3, pixels.shape[1]
    chroma = np.ascontiguousarray(pixels[height:]).reshape(height, width, 2)
    luma = np.ascontiguousarray(pixels[:height])
    y, u, v = (plane.astype(np.float32) for plane in (luma, chroma[..., 0], chroma[..., 1]))
    y, u, v = 1.164 * (y - 16), u - 128, v - 128  # BT.601, limited range, as OpenCV has it for the other YUV encodings
    rgb = np.stack((y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u), axis=2)
    limited: np.ndarray = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return limited


def _colours(channels: int, code: int | None) -> Layout:
    return Layout(np.uint8, channels, None if code is None else partial(_convert, code=code), grey=equal_channels)


def _packed(code: int, *, luma: int) -> Layout:
    return Layout(np.uint8, 2, partial(_convert, code=code), grey=partial(_luma, channel=luma))


def _planes(to_rgb: Callable[[np.ndarray], np.ndarray], rows: float, *, even: bool) -> Layout:
    return Layout(np.uint8, 1, to_rgb, grey=partial(_luma_plane, rows=rows), rows=rows, even=even)


#: Bayer patterns and their conversions. OpenCV names a pattern by its second row, ROS by its first.
_BAYER = {'rggb': cv2.COLOR_BayerBG2RGB, 'bggr': cv2.COLOR_BayerRG2RGB, 'gbrg': cv2.COLOR_BayerGR2RGB,
          'grbg': cv2.COLOR_BayerGB2RGB}

#: sensor_msgs encodings that carry colour.
COLOUR_ENCODINGS = {
    'rgb8': _colours(3, None),
    'bgr8': _colours(3, cv2.COLOR_BGR2RGB),
    'rgba8': _colours(4, cv2.COLOR_RGBA2RGB),
    'bgra8': _colours(4, cv2.COLOR_BGRA2RGB),
    'mono8': Layout(np.uint8, 1, partial(_convert, code=cv2.COLOR_GRAY2RGB)),
    '8UC1': Layout(np.uint8, 1, partial(_convert, code=cv2.COLOR_GRAY2RGB)),
    '8UC3': _colours(3, cv2.COLOR_BGR2RGB),
    '8UC4': _colours(4, cv2.COLOR_BGRA2RGB),
    'rgb16': Layout(np.uint16, 3, partial(_convert_deep, code=None)),
    'bgr16': Layout(np.uint16, 3, partial(_convert_deep, code=cv2.COLOR_BGR2RGB)),
    'rgba16': Layout(np.uint16, 4, partial(_convert_deep, code=cv2.COLOR_RGBA2RGB)),
    'bgra16': Layout(np.uint16, 4, partial(_convert_deep, code=cv2.COLOR_BGRA2RGB)),
    'mono16': Layout(np.uint16, 1, partial(_convert_deep, code=cv2.COLOR_GRAY2RGB)),
    'yuv422': _packed(cv2.COLOR_YUV2RGB_UYVY, luma=1),
    'uyvy': _packed(cv2.COLOR_YUV2RGB_UYVY, luma=1),
    'yuv422_yuy2': _packed(cv2.COLOR_YUV2RGB_YUY2, luma=0),
    'yuyv': _packed(cv2.COLOR_YUV2RGB_YUY2, luma=0),
    'nv12': _planes(partial(_convert, code=cv2.COLOR_YUV2RGB_NV12), 1.5, even=True),
    'nv21': _planes(partial(_convert, code=cv2.COLOR_YUV2RGB_NV21), 1.5, even=True),
    'nv24': _planes(_nv24_to_rgb, 3, even=False),
    **{f'bayer_{name}8': Layout(np.uint8, 1, partial(_convert, code=code)) for name, code in _BAYER.items()},
    **{f'bayer_{name}16': Layout(np.uint16, 1, partial(_convert_deep, code=code)) for name, code in _BAYER.items()},
}

#: Encodings with one channel that is a measurement, and the name that StampedImage gives it.
SINGLE_CHANNEL_ENCODINGS = {
    'mono8': ('mono8', Layout(np.uint8, 1)),
    '8UC1': ('mono8', Layout(np.uint8, 1)),
    'mono16': ('mono16', Layout(np.uint16, 1)),
    '16UC1': ('16UC1', Layout(np.uint16, 1)),
    '32FC1': ('32FC1', Layout(np.float32, 1)),
    '64FC1': ('32FC1', Layout(np.float64, 1)),
    # Grey images that a driver publishes in a format for colours.
    **{name: ('mono8', layout) for name, layout in COLOUR_ENCODINGS.items() if layout.grey},
}

ENCODINGS: dict[ImageContent, tuple[str, ...]] = {
    LABELS: ('mono8', '8UC1', 'mono16', '16UC1'),
    Modality.RGB: tuple(COLOUR_ENCODINGS),
    Modality.DEPTH: ('16UC1', 'mono16', '32FC1', '64FC1'),
    Modality.THERMAL: tuple(SINGLE_CHANNEL_ENCODINGS),
}


def layout_of(content: ImageContent, encoding: str) -> tuple[Layout, str]:
    """The layout of an encoding, and the name of the encoding that its pixels have afterwards.

    Raises:
        ImageError: the content is not read in this encoding.
    """
    if encoding not in ENCODINGS[content]:
        raise ImageError(f'{content} image has encoding {encoding!r}; expected one of {list(ENCODINGS[content])}')
    if content is Modality.RGB:
        return COLOUR_ENCODINGS[encoding], 'rgb8'
    name, layout = SINGLE_CHANNEL_ENCODINGS[encoding]
    return layout, name


def to_rgb(pixels: np.ndarray, layout: Layout, encoding: str) -> np.ndarray:
    """Pixels of a colour encoding -> (H, W, 3) uint8 RGB.

    Raises:
        ImageError: OpenCV cannot convert them.
    """
    if layout.to_rgb is None:
        return pixels
    try:
        return layout.to_rgb(pixels)
    except cv2.error as error:
        raise ImageError(f'rgb image of {pixels.shape[0]}x{pixels.shape[1]} {encoding} cannot be converted: '
                         f'{error.err}') from error
