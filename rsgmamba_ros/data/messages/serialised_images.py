"""Serialised image messages of ROS 1 and ROS 2 -> their fields, without copying a pixel.

rosbags could do it, but builds a message class from the definition for each bag and type. A sync-only replay wants the
header alone, thousands of times a second, and the two message types have not changed since ROS 1.
"""
from __future__ import annotations

from dataclasses import dataclass
import struct

import numpy as np

from rsgmamba_ros.data.messages.images import decode_compressed_image, decode_image, ImageContent
from rsgmamba_ros.vocabulary.decoding import Decoding, DEFAULT_DECODING
from rsgmamba_ros.vocabulary.errors import ImageError

IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE_TYPE = 'sensor_msgs/msg/CompressedImage'
COMPRESSED_VIDEO_TYPE = 'foxglove_msgs/msg/CompressedVideo'
FFMPEG_PACKET_TYPE = 'ffmpeg_image_transport_msgs/msg/FFMPEGPacket'
#: Packets of a video: an image is known only with those before it, see `video`.
VIDEO_TYPES = (COMPRESSED_VIDEO_TYPE, FFMPEG_PACKET_TYPE)


_NO_DATA = memoryview(b'')


@dataclass(frozen=True, slots=True)
class ImageMessage:
    """The fields of a sensor_msgs/Image or CompressedImage.

    Attributes:
        stamp_ns: the header's stamp, nanoseconds.
        frame_id: TF frame of the header.
        encoding: of the pixels; the `format` field of a compressed image.
        compressed: whether `data` is a file (JPEG, PNG) and height, width, step are 0.
        height: pixels.
        width: pixels.
        step: bytes from one row to the next.
        is_bigendian: byte order of the pixels.
        data: the payload, a view of the serialised message.
    """

    stamp_ns: int
    frame_id: str
    encoding: str
    compressed: bool
    height: int
    width: int
    step: int
    is_bigendian: bool
    data: memoryview

    def decode(self, content: ImageContent, decoding: Decoding = DEFAULT_DECODING) -> tuple[np.ndarray, str]:
        """Pixels and their encoding; see `decode_image` for arguments, result and errors."""
        if self.compressed:
            return decode_compressed_image(content, format=self.encoding, data=self.data, decoding=decoding)
        return decode_image(content, encoding=self.encoding, height=self.height, width=self.width, step=self.step,
                            is_bigendian=self.is_bigendian, data=self.data, decoding=decoding)


def parse_image_message(raw: bytes | memoryview, message_type: str, *, ros1: bool = False,
                        head_only: bool = False) -> ImageMessage:
    """Read the fields of a serialised image message.

    Args:
        raw: the message as a bag stores it: CDR with its 4-byte header, or ROS 1's serialisation.
        message_type: `IMAGE_TYPE`, `COMPRESSED_IMAGE_TYPE` or one of `VIDEO_TYPES`, whose packets have `compressed`.
        ros1: whether it is ROS 1's serialisation.
        head_only: whether the payload is left out of the result, and may be cut off.

    Raises:
        ImageError: the message is cut off, or is no message of this type.
    """
    try:
        fields = _Fields(raw, ros1)
        if ros1 and message_type != COMPRESSED_VIDEO_TYPE:
            fields.uint32()  # the header's sequence number, which ROS 2 has dropped
        stamp_ns = fields.uint32() * 1_000_000_000 + fields.uint32()
        frame_id = fields.string()
        if message_type == COMPRESSED_IMAGE_TYPE:
            encoding = fields.string()
            data = _NO_DATA if head_only else fields.payload()
            return ImageMessage(stamp_ns, frame_id, encoding, True, 0, 0, 0, False, data)
        if message_type == COMPRESSED_VIDEO_TYPE:
            data = _NO_DATA if head_only else fields.payload()
            encoding = '' if head_only else fields.string()  # it comes after the data
            return ImageMessage(stamp_ns, frame_id, encoding, True, 0, 0, 0, False, data)
        if message_type == FFMPEG_PACKET_TYPE:
            width, height, encoding = fields.uint32(), fields.uint32(), fields.string()
            fields.uint64(), fields.uint8(), fields.uint8()  # presentation time, flags, byte order
            data = _NO_DATA if head_only else fields.payload()
            return ImageMessage(stamp_ns, frame_id, encoding, True, height, width, 0, False, data)
        height, width, encoding = fields.uint32(), fields.uint32(), fields.string()
        is_bigendian = fields.uint8() != 0
        step = fields.uint32()
        data = _NO_DATA if head_only else fields.payload()
        return ImageMessage(stamp_ns, frame_id, encoding, False, height, width, step, is_bigendian, data)
    except (struct.error, IndexError) as error:
        raise ImageError(f'{len(raw)} bytes are no {message_type}: {error}') from error


class _Fields:
    """One field after another of a serialised message. CDR aligns numbers to their size, ROS 1 does not."""

    def __init__(self, raw: bytes | memoryview, ros1: bool):
        self._raw = raw
        self._aligned = not ros1
        self._uint32 = struct.Struct('<I' if ros1 or raw[1] & 1 else '>I')
        self._position = 0 if ros1 else 4

    def uint8(self) -> int:
        self._position += 1
        return self._raw[self._position - 1]

    def uint32(self) -> int:
        if self._aligned:
            self._position = (self._position + 3) & ~3
        value: int = self._uint32.unpack_from(self._raw, self._position)[0]
        self._position += 4
        return value

    def uint64(self) -> int:
        if self._aligned:
            self._position = (self._position - 4 + 7 & ~7) + 4  # counted from the end of the CDR header
        low, high = self.uint32(), self.uint32()
        return high << 32 | low

    def string(self) -> str:
        return bytes(self.payload()).rstrip(b'\0').decode(errors='replace')

    def payload(self) -> memoryview:
        size = self.uint32()
        start, self._position = self._position, self._position + size
        if self._position > len(self._raw):
            raise IndexError(f'a field of {size} bytes starts at byte {start}')
        return memoryview(self._raw)[start:self._position]
