"""Label images with a palette, as labelling tools have them: the indices are the classes, not the colours."""
from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from rsgmamba_ros.data.messages.compressed_images import check_size, size_in_header
from rsgmamba_ros.vocabulary.decoding import DEFAULT_DECODING
from rsgmamba_ros.vocabulary.labels import LabelSpace

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


def encode_label_image(label_map: np.ndarray, labels: LabelSpace) -> bytes:
    """Encode a label map as a PNG with a palette; what is no class is black.

    Args:
        label_map: (H, W) uint8.

    Returns:
        The file.
    """
    png = cv2.imencode('.png', label_map)[1].tobytes()
    palette = np.zeros((256, 3), np.uint8)
    palette[:len(labels)] = labels.palette
    header_end = len(_PNG_START) + 25
    header = png[len(_PNG_START) + 8:header_end - 4]
    return b''.join([_PNG_START, _chunk(b'IHDR', header[:9] + bytes([_PALETTE]) + header[10:]),
                     _chunk(b'PLTE', palette.tobytes()), png[header_end:]])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def _as_grey(content: bytes) -> bytes:
    """The same PNG with its indices as grey values: OpenCV gives the colours of a palette and not the indices."""
    parts, offset = [_PNG_START], len(_PNG_START)
    while offset + 12 <= len(content):
        (length,) = struct.unpack_from('>I', content, offset)
        kind, data = content[offset + 4:offset + 8], content[offset + 8:offset + 8 + length]
        if kind == b'IHDR':
            data = data[:9] + b'\0' + data[10:]
        if kind not in (b'PLTE', b'tRNS'):
            parts.append(_chunk(kind, data))
        offset += 12 + length
    return b''.join(parts)
