"""ROS messages <-> the package's own types. Nothing here needs a node.

Images are decoded by `data.messages.images`, which the bag reader shares. It reads the common encodings as views of the
message (0.001 ms for VGA), where cv_bridge copies, skews rgb8 with padded rows and fails on big-endian data under
NumPy 2; so cv_bridge, where it is installed, is asked for the remaining colour encodings only (`foreign_encodings.py`).
"""
from __future__ import annotations

import sys

from builtin_interfaces.msg import Time
import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from rsgmamba_ros.data.messages.images import decode_compressed_image, decode_image, ENCODINGS, stamped_image
from rsgmamba_ros.data.messages.reliability import create_reliability_message
from rsgmamba_ros.msg import ModalityReliability, Reliability
from rsgmamba_ros.ros.foreign_encodings import cv_bridge_works, decode_with_cv_bridge
from rsgmamba_ros.vocabulary.decoding import Decoding, DEFAULT_DECODING
from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import Modality, StampedImage
from rsgmamba_ros.vocabulary.segmentation import Segmentation

#: NumPy type and channels of the encodings that are published.
_PUBLISHED = {'mono8': (np.uint8, 1), 'rgb8': (np.uint8, 3), 'bgr8': (np.uint8, 3), 'rgba8': (np.uint8, 4),
              'bgra8': (np.uint8, 4), 'mono16': (np.uint16, 1), '16UC1': (np.uint16, 1), '32FC1': (np.float32, 1)}

#: Good enough to look at; image_transport's default is 95.
_JPEG_QUALITY = 85


def nanoseconds(stamp: Time) -> int:
    """Give a stamp in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def stamp_message(stamp_ns: int) -> Time:
    """Give nanoseconds as a stamp."""
    seconds, rest = divmod(stamp_ns, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def image_from_message(message: Image | CompressedImage, modality: Modality, *, received_ns: int,
                       decoding: Decoding = DEFAULT_DECODING) -> StampedImage:
    """Convert a message; its pixels are a read-only view of the message where nothing had to be changed.

    Args:
        message: a CompressedImage may hold JPEG, PNG or compressedDepth.
        received_ns: arrival time, nanoseconds.
        decoding: largest size, and unit of integer depth.

    Raises:
        ImageError: encoding, size or data cannot be used.
    """
    if isinstance(message, CompressedImage):
        decoded = decode_compressed_image(modality, format=message.format, data=message.data, decoding=decoding)
    elif modality is Modality.RGB and message.encoding not in ENCODINGS[modality] and cv_bridge_works():
        decoded = decode_with_cv_bridge(message)
    else:
        decoded = decode_image(modality, encoding=message.encoding, height=message.height, width=message.width,
                               step=message.step, is_bigendian=bool(message.is_bigendian), data=message.data,
                               decoding=decoding)
    return stamped_image(modality, decoded, stamp_ns=nanoseconds(message.header.stamp), received_ns=received_ns,
                         frame_id=message.header.frame_id, decoding=decoding)


def image_message(pixels: np.ndarray, encoding: str, *, stamp_ns: int, frame_id: str) -> Image:
    """Build a message from pixels, (H, W) or (H, W, C) in the encoding's dtype, without row padding.

    Raises:
        ImageError: the pixels do not fit the encoding.
    """
    if encoding not in _PUBLISHED:
        raise ImageError(f'cannot publish encoding {encoding!r}; expected one of {sorted(_PUBLISHED)}')
    dtype, channels = _PUBLISHED[encoding]
    expected = pixels.shape[:2] if channels == 1 else (*pixels.shape[:2], channels)
    if pixels.dtype != dtype or pixels.ndim < 2 or pixels.shape != expected:
        raise ImageError(f'{encoding} takes {np.dtype(dtype)} with {channels} channels, got {pixels.dtype} of shape '
                         f'{pixels.shape}')
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    message = Image(header=Header(stamp=stamp_message(stamp_ns), frame_id=frame_id), height=height, width=width,
                    encoding=encoding, is_bigendian=sys.byteorder == 'big', step=pixels.strides[0])
    # Assigning bytes would check them one by one (62 ms for VGA on Humble); this takes 0.03 ms everywhere.
    message.data.frombytes(pixels.data.cast('B'))
    return message


def jpeg_message(pixels: np.ndarray, *, stamp_ns: int, frame_id: str) -> CompressedImage:
    """Build a JPEG message in the form of image_transport's, from RGB pixels, (H, W, 3) uint8."""
    data = cv2.imencode('.jpg', pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    message = CompressedImage(header=Header(stamp=stamp_message(stamp_ns), frame_id=frame_id),
                              format='rgb8; jpeg compressed bgr8')
    message.data.frombytes(data.tobytes())
    return message


def message_from_image(image: StampedImage) -> Image:
    """Build the message that a sensor would have sent."""
    return image_message(image.pixels, image.encoding, stamp_ns=image.stamp_ns, frame_id=image.frame_id)


def reliability_message(segmentation: Segmentation, *, now_ns: int) -> Reliability:
    """Build the message that says what each modality contributed.

    Args:
        now_ns: time of publication by the node's clock, nanoseconds.
    """
    header = Header(stamp=stamp_message(segmentation.stamp_ns), frame_id=segmentation.frame_id)
    return create_reliability_message(segmentation, header=header, published_ns=now_ns, message_class=Reliability,
                                      modality_class=ModalityReliability)
