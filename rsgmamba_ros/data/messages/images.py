"""Fields of a sensor_msgs image message -> pixels in the form that StampedImage promises. No ROS import.

The node and the bag reader share it: whatever delivered a message, its pixels come out the same.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from rsgmamba_ros.data.messages.compressed_images import check_size, decode_compressed_depth, decode_file
from rsgmamba_ros.data.messages.encodings import (
    COLOUR_ENCODINGS,
    ENCODINGS,
    equal_channels,
    ImageContent,
    LABELS,
    layout_of,
    to_rgb,
    upper_8_bits,
)
from rsgmamba_ros.vocabulary.decoding import Decoding, DEFAULT_DECODING
from rsgmamba_ros.vocabulary.depth import depth_in_metres, MILLIMETRE_M
from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import Modality, StampedImage

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12 on

__all__ = ('ENCODINGS', 'LABELS', 'ImageContent', 'decode_compressed_image', 'decode_image', 'stamped_image')


def decode_image(content: ImageContent, *, encoding: str, height: int, width: int, step: int, is_bigendian: bool,
                 data: Buffer, decoding: Decoding = DEFAULT_DECODING) -> tuple[np.ndarray, str]:
    """Turn the fields of a sensor_msgs/Image into pixels.

    Args:
        content: what the image shows.
        encoding: a sensor_msgs encoding; which ones are read depends on the content, see `ENCODINGS`.
        height: pixels.
        width: pixels.
        step: bytes from one row to the next, padding included.
        data: anything with a buffer (bytes, array.array, ndarray) of at least `height * step` bytes, the last
            row's padding excepted.
        decoding: limits the size.

    Returns:
        The pixels, (H, W, 3) uint8 RGB for colour, (H, W) otherwise, and the encoding that they now have. They
        are a read-only view of `data` where nothing had to be changed: keep the message as it is, or copy.

    Raises:
        ImageError: another encoding, a size of zero, a step that is too small, or too few bytes.
    """
    layout, name = layout_of(content, encoding)
    itemsize = np.dtype(layout.dtype).itemsize
    row = width * layout.channels * itemsize
    what = f'{content} image'
    if height <= 0 or width <= 0:
        raise ImageError(f'{what} is {height}x{width}; both sides must be positive')
    if layout.even and (height % 2 or width % 2):
        raise ImageError(f'{what} is {height}x{width}; both sides of {encoding} must be even')
    if step < row:
        raise ImageError(f'{what} has step {step}, but {width} pixels of {encoding} take {row} bytes')
    check_size((height, width), what, max_pixels=decoding.max_image_pixels)
    buffer = np.frombuffer(memoryview(data), np.uint8)
    rows = round(height * layout.rows)
    if buffer.size < (needed := step * (rows - 1) + row):
        raise ImageError(f'{what} has {buffer.size} bytes of data; {height}x{width} {encoding} with step '
                         f'{step} needs {needed}')
    shape = (rows, width, layout.channels) if layout.channels > 1 else (rows, width)
    strides = (step, layout.channels * itemsize, itemsize)[:len(shape)]
    dtype = np.dtype(layout.dtype).newbyteorder('>' if is_bigendian else '<')
    pixels = np.ndarray(shape, dtype, buffer, strides=strides)
    if not dtype.isnative or not pixels.flags.aligned:
        pixels = pixels.astype(layout.dtype)
    if content is Modality.RGB:
        pixels = to_rgb(pixels, layout, encoding)
    elif layout.grey is not None:
        pixels = layout.grey(pixels)
    elif pixels.dtype == np.float64:
        with np.errstate(over='ignore'):  # what is too large for a float is no distance: it becomes inf
            pixels = pixels.astype(np.float32)
    pixels.flags.writeable = False
    return pixels, name


def decode_compressed_image(content: ImageContent, *, format: str, data: Buffer,
                            decoding: Decoding = DEFAULT_DECODING) -> tuple[np.ndarray, str]:
    """Turn the fields of a sensor_msgs/CompressedImage into pixels: JPEG, PNG, TIFF, compressedDepth.

    Args:
        content: as for `decode_image`.
        format: as image_transport writes it, `jpeg` or `bgr8; jpeg compressed bgr8` or `16UC1; compressedDepth png`.
        data: anything with a buffer.
        decoding: limits the size.

    Returns:
        As `decode_image`.

    Raises:
        ImageError: the data cannot be decoded, or the decoded type does not fit the content.
    """
    buffer = np.frombuffer(memoryview(data), np.uint8)
    what = f'{content} image of format {format!r}'
    if 'compresseddepth' in format.lower():
        pixels = decode_compressed_depth(buffer, format, what, max_pixels=decoding.max_image_pixels)
    else:
        pixels = decode_file(buffer, what, max_pixels=decoding.max_image_pixels)
    if content is Modality.RGB:
        return _decoded_colours(pixels, format), 'rgb8'
    if pixels.ndim == 3 and content is Modality.THERMAL and pixels.dtype == np.uint8:
        pixels = equal_channels(pixels)
    if pixels.ndim == 3:
        raise ImageError(f'{what} has {pixels.shape[2]} channels; expected one')
    names = {'uint8': 'mono8', 'uint16': '16UC1', 'float32': '32FC1'}
    name = names.get(pixels.dtype.name)
    if name not in ENCODINGS[content]:
        raise ImageError(f'{what} decodes to {pixels.dtype}; expected one of {list(ENCODINGS[content])}')
    return pixels, 'mono16' if _stated_encoding(format) == 'mono16' and name == '16UC1' else name


def stamped_image(modality: Modality, decoded: tuple[np.ndarray, str], *, stamp_ns: int, received_ns: int,
                  frame_id: str, decoding: Decoding = DEFAULT_DECODING) -> StampedImage:
    """Put the pixels of `decode_image` or `decode_compressed_image` under their header.

    Integer depth in another unit than millimetres becomes metres, `32FC1`: every later stage knows both of REP-118.
    """
    pixels, encoding = decoded
    if modality is Modality.DEPTH and pixels.dtype.kind == 'u' and decoding.depth_unit_m != MILLIMETRE_M:
        pixels, encoding = depth_in_metres(pixels, unit_m=decoding.depth_unit_m), '32FC1'
    return StampedImage(modality, stamp_ns, received_ns, pixels, encoding, frame_id)


def _stated_encoding(format: str) -> str:
    """The encoding before compression that image_transport states; empty if there is none."""
    stated, separator, _ = format.partition(';')
    return stated.strip() if separator else ''


def _decoded_colours(pixels: np.ndarray, format: str) -> np.ndarray:
    stated = _stated_encoding(format)
    if pixels.ndim == 2 and stated.startswith('bayer_') and stated in COLOUR_ENCODINGS:
        # A JPEG file has 8 bits a pixel, whatever the camera had.
        encoding = stated.removesuffix('16').removesuffix('8') + ('8' if pixels.dtype == np.uint8 else '16')
        return to_rgb(pixels, COLOUR_ENCODINGS[encoding], encoding)
    if pixels.dtype == np.uint16:
        pixels = upper_8_bits(pixels)
    if pixels.dtype != np.uint8:
        raise ImageError(f'rgb image of format {format!r} decodes to {pixels.dtype}; expected uint8 or uint16')
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    # image_transport says "compressed rgb8" where the encoder was given RGB as if it were BGR: undo nothing then.
    swapped = 'compressed rgb' in format
    if pixels.shape[2] == 4:
        return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB if swapped else cv2.COLOR_BGRA2RGB)
    return pixels if swapped else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
