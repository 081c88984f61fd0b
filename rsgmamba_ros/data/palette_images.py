"""Label images with a palette, as labelling tools write them: the indices are the classes, the colours decoration."""
from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from rsgmamba_ros.data.messages.compressed_images import check_size, size_in_header
from rsgmamba_ros.vocabulary.decoding import DEFAULT_DECODING

_PNG_START = b'\x89PNG\r\n\x1a\n'
_PALETTE = 3  #: the colour type of a PNG with a palette


def decode_label_image(content: bytes, what: str = 'label image', *,
                       max_pixels: int = DEFAULT_DECODING.max_image_pixels) -> np.ndarray | None:
    """Decode a label image; of a PNG with a palette the indices and not the colours.

    Args:
        content: the file.
        what: names it in errors.
        max_pixels: a larger image is refused before it is decoded.

    Returns:
        (H, W) of the file's integer type, or (H, W, C) where it has colours; None if it is no image.

    Raises:
        ImageError: it is too large.
    """
    check_size(size_in_header(content), what, max_pixels=max_pixels)
    scale = 1
    if content.startswith(_PNG_START) and content[25:26] == bytes([_PALETTE]):
        content, scale = _as_grey(content), 255 // (2**content[24] - 1)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error:
        return None
    # A grey image of fewer than 8 bits is decoded to 0..255; indices are not.
    return image // scale if image is not None and scale > 1 else image


def _as_grey(content: bytes) -> bytes:
    """The same PNG with its indices as grey values: OpenCV gives the colours of a palette and not the indices."""
    parts, offset = [_PNG_START], len(_PNG_START)
    while offset + 12 <= len(content):
        (length,) = struct.unpack_from('>I', content, offset)
        kind, data = content[offset + 4:offset + 8], content[offset + 8:offset + 8 + length]
        if kind == b'IHDR':
            data = data[:9] + b'\0' + data[10:]
        if kind not in (b'PLTE', b'tRNS'):
            parts += [struct.pack('>I', len(data)), kind, data, struct.pack('>I', zlib.crc32(kind + data))]
        offset += 12 + length
    return b''.join(parts)
