"""Data of a sensor_msgs/CompressedImage -> pixels: JPEG, PNG and TIFF files, and both kinds of compressedDepth."""
from __future__ import annotations

import struct

import cv2
import numpy as np

from rsgmamba_ros.vocabulary.decoding import DEFAULT_DECODING
from rsgmamba_ros.vocabulary.errors import ImageError

#: First and last bytes of the file formats. OpenCV gives no error for a file that is cut off, and fills it with grey.
_FILE_MARKERS = {b'\xff\xd8': b'\xff\xd9', b'\x89P': b'IEND'}
_PNG_START = b'\x89PNG\r\n\x1a\n'
_TIFF_STARTS = {b'II*\0': '<', b'MM\0*': '>'}
_WEBP = (b'RIFF', b'WEBP')
_TIFF_SIZES = {256: 1, 257: 0}  #: tags of width and height, and their indices in (height, width)

#: compressedDepth puts this in front of the PNG: int32 format, then the two parameters of its inverse depth.
_DEPTH_HEADER = struct.Struct('<iff')
_RVL_SIZE = struct.Struct('<II')  #: width and height, in front of the RVL data


def decode_file(buffer: np.ndarray, what: str, *, max_pixels: int = DEFAULT_DECODING.max_image_pixels) -> np.ndarray:
    """Decode an image file.

    Args:
        buffer: the file, (N,) uint8.
        what: names the image in errors.
        max_pixels: a larger image is refused before it is decoded.

    Returns:
        (H, W) or (H, W, C), colours in BGR order.

    Raises:
        ImageError: it is cut off, too large, or cannot be decoded.
    """
    data = buffer.tobytes()
    end = _FILE_MARKERS.get(data[:2], b'')
    if end not in data:
        raise ImageError(f'{what} is cut off after {len(data)} bytes')
    size = size_in_header(data)
    if size is None:
        raise ImageError(f'{what} cannot be decoded: {len(data)} bytes are no PNG, JPEG, TIFF, WebP or BMP file')
    check_size(size, what, max_pixels=max_pixels)
    try:
        pixels = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f'{what} cannot be decoded: {error.err}') from error
    if pixels is None:
        raise ImageError(f'{what} cannot be decoded ({len(data)} bytes)')
    return pixels


def decode_compressed_depth(buffer: np.ndarray, format: str, what: str, *,
                            max_pixels: int = DEFAULT_DECODING.max_image_pixels) -> np.ndarray:
    """Decode the data of a compressedDepth message, PNG (with or without its header of 12 bytes) or RVL.

    Args:
        buffer: the data, (N,) uint8.
        format: of the message.
        what: names the image in errors.
        max_pixels: a larger image is refused before it is decoded.

    Returns:
        (H, W): uint16 as recorded, or float32 metres where the format says 32FC1.

    Raises:
        ImageError: the data cannot be decoded.
    """
    is_float = format.strip().startswith('32FC1')
    if buffer[:8].tobytes() == _PNG_START:
        if is_float:
            raise ImageError(f'{what} has no compressedDepth header, which 32FC1 needs')
        return decode_file(buffer, what, max_pixels=max_pixels)
    if buffer.size <= _DEPTH_HEADER.size:
        raise ImageError(f'{what} has {buffer.size} bytes; a compressedDepth header alone takes 12')
    _, a, b = _DEPTH_HEADER.unpack_from(buffer.tobytes()[:_DEPTH_HEADER.size])
    content = buffer[_DEPTH_HEADER.size:]
    decode = _decode_rvl if 'rvl' in format.lower() else decode_file
    pixels = decode(content, what, max_pixels=max_pixels)
    return _metres_of_inverse_depth(pixels, a, b) if is_float and pixels.dtype == np.uint16 else pixels


def check_size(size: tuple[int, int] | None, what: str, *,
               max_pixels: int = DEFAULT_DECODING.max_image_pixels) -> None:
    """Refuse an image that would be too large, before it is decoded.

    Raises:
        ImageError: it has more than `max_pixels`.
    """
    if size is not None and size[0] * size[1] > max_pixels:
        raise ImageError(f'{what} is {size[0]}x{size[1]}; at most {max_pixels} pixels are decoded, see '
                         'max_image_pixels')


def size_in_header(data: bytes) -> tuple[int, int] | None:
    """Height and width that a PNG, JPEG, TIFF, WebP or BMP file announces; None if they are not found."""
    try:
        if data.startswith(_PNG_START):
            width, height = struct.unpack_from('>II', data, 16)
            return height, width
        if data.startswith(b'\xff\xd8'):
            return _size_of_jpeg(data)
        if (order := _TIFF_STARTS.get(data[:4])) is not None:
            return _size_of_tiff(data, order)
        if (data[:4], data[8:12]) == _WEBP:
            return _size_of_webp(data)
        if data.startswith(b'BM'):
            width, height = struct.unpack_from('<ii', data, 18)
            return abs(height), abs(width)
    except (struct.error, IndexError):
        pass
    return None


def _size_of_jpeg(data: bytes) -> tuple[int, int] | None:
    offset = 2
    while data[offset] == 0xFF:
        if data[offset + 1] == 0xFF:  # a marker may be preceded by any number of these
            offset += 1
            continue
        marker, length = struct.unpack_from('>BH', data, offset + 1)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame header of any kind
            height, width = struct.unpack_from('>HH', data, offset + 5)
            return height, width
        offset += 2 + length
    return None


def _size_of_tiff(data: bytes, order: str) -> tuple[int, int]:
    size = [0, 0]
    (directory,) = struct.unpack_from(f'{order}I', data, 4)
    (count,) = struct.unpack_from(f'{order}H', data, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f'{order}HH', data, entry)
        if tag in _TIFF_SIZES:
            (side,) = struct.unpack_from(f'{order}{"H" if kind == 3 else "I"}', data, entry + 8)
            size[_TIFF_SIZES[tag]] = max(size[_TIFF_SIZES[tag]], side)
    return size[0], size[1]


def _size_of_webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b'VP8X':
        width, height = (1 + int.from_bytes(data[start:start + 3], 'little') for start in (24, 27))
    elif kind == b'VP8L':
        (bits,) = struct.unpack_from('<I', data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b'VP8 ':
        width, height = (side & 0x3FFF for side in struct.unpack_from('<HH', data, 26))
    else:
        return None
    return height, width


def _decode_rvl(buffer: np.ndarray, what: str, *, max_pixels: int) -> np.ndarray:
    """Decode RVL (Wilson 2017): runs of zeros and of differences, all as numbers of 3 bits a nibble.

    Args:
        buffer: width, height and the words, (N,) uint8.

    Returns:
        (H, W) uint16.
    """
    data = buffer.tobytes()
    if len(data) < _RVL_SIZE.size:
        raise ImageError(f'{what} is cut off after {len(data)} bytes')
    width, height = _RVL_SIZE.unpack_from(data)
    check_size((height, width), what, max_pixels=max_pixels)
    numbers = _numbers(np.frombuffer(data, '<u4', (len(data) - _RVL_SIZE.size) // 4, _RVL_SIZE.size))
    differences = np.zeros(height * width, np.int64)
    valid = np.zeros(height * width, bool)
    pixel = index = 0
    while pixel < len(valid):
        if index + 1 >= len(numbers):
            raise ImageError(f'{what} is cut off after {pixel} of {len(valid)} pixels')
        zeros, count = int(numbers[index]), int(numbers[index + 1])
        pixel, index = pixel + zeros, index + 2
        if not zeros + count or pixel + count > len(valid) or index + count > len(numbers):
            raise ImageError(f'{what} is damaged or cut off after {min(pixel, len(valid))} of {len(valid)} pixels')
        coded = numbers[index:index + count]
        differences[pixel:pixel + count] = (coded >> 1) ^ -(coded & 1)
        valid[pixel:pixel + count] = True
        pixel, index = pixel + count, index + count
    values = np.where(valid, np.cumsum(differences), 0)
    return values.astype(np.uint16).reshape(height, width)


def _numbers(words: np.ndarray) -> np.ndarray:
    """Numbers from nibbles, highest first in a word, lowest 3 bits first in a number; bit 3 says that more follow."""
    nibbles = ((words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32)) & 15).astype(np.int64).reshape(-1)
    ends = np.flatnonzero(nibbles < 8)
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    nibbles = nibbles[:ends[-1] + 1] if len(ends) else nibbles[:0]
    digits = np.arange(len(nibbles)) - np.repeat(starts, ends - starts + 1)
    shifted = (nibbles & 7) << np.minimum(3 * digits, 60)
    return np.add.reduceat(shifted, starts) if len(starts) else shifted


def _metres_of_inverse_depth(pixels: np.ndarray, a: float, b: float) -> np.ndarray:
    depth = np.full(pixels.shape, np.nan, np.float32)
    valid = pixels != 0
    depth[valid] = a / (pixels[valid].astype(np.float32) - b)
    return depth
