"""Fields of a sensor_msgs image message -> pixels in the form that StampedImage promises. No ROS import.

The node and the bag reader share it: whatever delivered a message, its pixels come out the same.
"""
from __future__ import annotations

from dataclasses import dataclass
import struct
from typing import Final, Literal, TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import Modality, StampedImage

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12 on


@dataclass(frozen=True)
class Layout:
    """How the pixels of an encoding lie in a message.

    Attributes:
        dtype: NumPy type of one channel, native byte order.
        channels: channels of one pixel.
        to_rgb: cv2.cvtColor code that makes RGB of it; None where the pixels are RGB already, or no colours.
    """

    dtype: type
    channels: int
    to_rgb: int | None = None


#: sensor_msgs encodings that carry colour. OpenCV names a Bayer pattern by its second row, ROS by its first.
COLOUR_ENCODINGS = {
    'rgb8': Layout(np.uint8, 3),
    'bgr8': Layout(np.uint8, 3, cv2.COLOR_BGR2RGB),
    'rgba8': Layout(np.uint8, 4, cv2.COLOR_RGBA2RGB),
    'bgra8': Layout(np.uint8, 4, cv2.COLOR_BGRA2RGB),
    'mono8': Layout(np.uint8, 1, cv2.COLOR_GRAY2RGB),
    '8UC3': Layout(np.uint8, 3, cv2.COLOR_BGR2RGB),
    'yuv422': Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2),
    'bayer_rggb8': Layout(np.uint8, 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': Layout(np.uint8, 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': Layout(np.uint8, 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': Layout(np.uint8, 1, cv2.COLOR_BayerGB2RGB),
}

#: Encodings with one channel that is a measurement, and the name that StampedImage gives it.
SINGLE_CHANNEL_ENCODINGS = {
    'mono8': ('mono8', Layout(np.uint8, 1)),
    '8UC1': ('mono8', Layout(np.uint8, 1)),
    'mono16': ('mono16', Layout(np.uint16, 1)),
    '16UC1': ('16UC1', Layout(np.uint16, 1)),
    '32FC1': ('32FC1', Layout(np.float32, 1)),
}

#: The content of an image of class indices; such images are decoded by the same code as those of sensors.
LABELS: Final = 'labels'

#: What an image shows: a modality, or class indices.
ImageContent: TypeAlias = Modality | Literal['labels']

ENCODINGS: dict[ImageContent, tuple[str, ...]] = {
    LABELS: ('mono8', '8UC1', 'mono16', '16UC1'),
    Modality.RGB: tuple(COLOUR_ENCODINGS),
    Modality.DEPTH: ('16UC1', 'mono16', '32FC1'),
    Modality.THERMAL: tuple(SINGLE_CHANNEL_ENCODINGS),
}

#: First and last bytes of the file formats. OpenCV gives no error for a file that is cut off, and fills it with grey.
_FILE_MARKERS = {b'\xff\xd8': b'\xff\xd9', b'\x89P': b'IEND'}

#: compressedDepth puts this in front of the PNG: int32 format, then the two parameters of its inverse depth.
_COMPRESSED_DEPTH_HEADER = struct.Struct('<iff')


def decode_image(content: ImageContent, *, encoding: str, height: int, width: int, step: int, is_bigendian: bool,
                 data: Buffer) -> tuple[np.ndarray, str]:
    """Turn the fields of a sensor_msgs/Image into pixels.

    Args:
        content: what the image shows.
        encoding: a sensor_msgs encoding; which ones are read depends on the content, see `ENCODINGS`.
        height: pixels.
        width: pixels.
        step: bytes from one row to the next, padding included.
        data: anything with a buffer (bytes, array.array, ndarray) of at least `height * step` bytes, the last
            row's padding excepted.

    Returns:
        The pixels, (H, W, 3) uint8 RGB for colour, (H, W) otherwise, and the encoding that they now have. They
        are a read-only view of `data` where nothing had to be changed: keep the message as it is, or copy.

    Raises:
        ImageError: another encoding, a size of zero, a step that is too small, or too few bytes.
    """
    layout, name = _layout(content, encoding)
    itemsize = np.dtype(layout.dtype).itemsize
    row = width * layout.channels * itemsize
    if height <= 0 or width <= 0:
        raise ImageError(f'{content} image is {height}x{width}; both sides must be positive')
    if step < row:
        raise ImageError(f'{content} image has step {step}, but {width} pixels of {encoding} take {row} bytes')
    buffer = np.frombuffer(memoryview(data), np.uint8)
    if buffer.size < (needed := step * (height - 1) + row):
        raise ImageError(f'{content} image has {buffer.size} bytes of data; {height}x{width} {encoding} with step '
                         f'{step} needs {needed}')
    shape = (height, width, layout.channels) if layout.channels > 1 else (height, width)
    strides = (step, layout.channels * itemsize, itemsize)[:len(shape)]
    dtype = np.dtype(layout.dtype).newbyteorder('>' if is_bigendian else '<')
    pixels = np.ndarray(shape, dtype, buffer, strides=strides)
    if not dtype.isnative or not pixels.flags.aligned:
        pixels = pixels.astype(layout.dtype)
    if content is Modality.RGB and layout.to_rgb is not None:
        pixels = _to_rgb(pixels, layout.to_rgb, encoding)
    pixels.flags.writeable = False
    return pixels, name


def decode_compressed_image(content: ImageContent, *, format: str, data: Buffer) -> tuple[np.ndarray, str]:
    """Turn the fields of a sensor_msgs/CompressedImage into pixels: JPEG, PNG, TIFF, compressedDepth.

    Args:
        content: as for `decode_image`.
        format: as image_transport writes it, `jpeg` or `bgr8; jpeg compressed bgr8` or `16UC1; compressedDepth png`.
        data: anything with a buffer.

    Returns:
        As `decode_image`.

    Raises:
        ImageError: the data cannot be decoded, or the decoded type does not fit the content.
    """
    buffer = np.frombuffer(memoryview(data), np.uint8)
    parameters = None
    if 'compresseddepth' in format.lower():
        if 'rvl' in format.lower():
            raise ImageError(f'{content} image has format {format!r}; RVL is not supported, set the publisher to png')
        if buffer.size <= _COMPRESSED_DEPTH_HEADER.size:
            raise ImageError(f'{content} image has {buffer.size} bytes; a compressedDepth header alone takes 12')
        parameters = _COMPRESSED_DEPTH_HEADER.unpack_from(data)[1:]
        buffer = buffer[_COMPRESSED_DEPTH_HEADER.size:]
    pixels = _decode_file(buffer, f'{content} image of format {format!r}')
    if content is Modality.RGB:
        return _decoded_colours(pixels, format), 'rgb8'
    if pixels.ndim == 3:
        raise ImageError(f'{content} image of format {format!r} has {pixels.shape[2]} channels; expected one')
    if parameters is not None and format.startswith('32FC1') and pixels.dtype == np.uint16:
        return _metres_of_inverse_depth(pixels, *parameters), '32FC1'
    names = {'uint8': 'mono8', 'uint16': '16UC1', 'float32': '32FC1'}
    name = names.get(pixels.dtype.name)
    if name not in ENCODINGS[content]:
        raise ImageError(f'{content} image of format {format!r} decodes to {pixels.dtype}; expected one of '
                         f'{list(ENCODINGS[content])}')
    stated = format.split(';')[0].strip()
    return pixels, 'mono16' if stated == 'mono16' and name == '16UC1' else name


def stamped_image(modality: Modality, decoded: tuple[np.ndarray, str], *, stamp_ns: int, received_ns: int,
                  frame_id: str) -> StampedImage:
    """Put the pixels of `decode_image` or `decode_compressed_image` under their header."""
    pixels, encoding = decoded
    return StampedImage(modality, stamp_ns, received_ns, pixels, encoding, frame_id)


def _layout(content: ImageContent, encoding: str) -> tuple[Layout, str]:
    if encoding not in ENCODINGS[content]:
        raise ImageError(f'{content} image has encoding {encoding!r}; expected one of {list(ENCODINGS[content])}')
    if content is Modality.RGB:
        return COLOUR_ENCODINGS[encoding], 'rgb8'
    name, layout = SINGLE_CHANNEL_ENCODINGS[encoding]
    return layout, name


def _to_rgb(pixels: np.ndarray, code: int, encoding: str) -> np.ndarray:
    try:
        return cv2.cvtColor(np.ascontiguousarray(pixels), code)
    except cv2.error as error:
        raise ImageError(f'rgb image of {pixels.shape[0]}x{pixels.shape[1]} {encoding} cannot be converted: '
                         f'{error.err}') from error


def _decode_file(buffer: np.ndarray, what: str) -> np.ndarray:
    data = buffer.tobytes()
    end = _FILE_MARKERS.get(data[:2], b'')
    if end not in data:
        raise ImageError(f'{what} is cut off after {len(data)} bytes')
    try:
        pixels = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error as error:
        raise ImageError(f'{what} cannot be decoded: {error.err}') from error
    if pixels is None:
        raise ImageError(f'{what} cannot be decoded ({len(data)} bytes)')
    return pixels


def _decoded_colours(pixels: np.ndarray, format: str) -> np.ndarray:
    if pixels.dtype != np.uint8:
        raise ImageError(f'rgb image of format {format!r} decodes to {pixels.dtype}; expected uint8')
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    # image_transport says "compressed rgb8" where the encoder was given RGB as if it were BGR: undo nothing then.
    swapped = 'compressed rgb' in format
    if pixels.shape[2] == 4:
        return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB if swapped else cv2.COLOR_BGRA2RGB)
    return pixels if swapped else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _metres_of_inverse_depth(pixels: np.ndarray, a: float, b: float) -> np.ndarray:
    depth = np.full(pixels.shape, np.nan, np.float32)
    valid = pixels != 0
    depth[valid] = a / (pixels[valid].astype(np.float32) - b)
    return depth
