"""Packets of a video stream (H.264, H.265) -> images, with PyAV where it is installed.

A packet of a video holds what changed, so packets are decoded in their order, by one decoder for each topic.
"""
from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from rsgmamba_ros.data.messages.serialised_images import ImageMessage
from rsgmamba_ros.vocabulary.decoding import DEFAULT_DECODING
from rsgmamba_ros.vocabulary.errors import ImageError

#: FFmpeg's decoder by a word in `format` (Foxglove) or `encoding` (ffmpeg_image_transport: names of encoders).
CODECS = {'h264': 'h264', 'x264': 'h264', 'h265': 'hevc', 'x265': 'hevc', 'hevc': 'hevc'}


def _pyav() -> Any:
    """PyAV, imported with the first packet because it takes 16 MiB; None if it is not installed."""
    try:
        return import_module('av')
    except ImportError:
        return None


class VideoDecoder:
    """Decodes one stream.

    Args:
        max_pixels: larger images are refused by the decoder, before it has memory for them.
    """

    def __init__(self, *, max_pixels: int = DEFAULT_DECODING.max_image_pixels):
        self._max_pixels = max_pixels
        self._context: Any = None
        self._codec = ''

    def decode(self, packet: ImageMessage) -> ImageMessage:
        """Decode the image of a packet.

        Args:
            packet: of the stream, in its order.

        Returns:
            The image under the packet's header, encoding `rgb8`.

        Raises:
            ImageError: PyAV is not there, the codec is another, or the packet gives no image: it is damaged, comes
                before the first key image, or its image depends on later packets.
        """
        codec = next((codec for word, codec in CODECS.items() if word in packet.encoding.lower()), '')
        if not codec:
            raise ImageError(f'video of format {packet.encoding!r} is not read; expected one of {sorted(CODECS)}')
        av = _pyav()
        if av is None:
            raise ImageError(f'video of format {packet.encoding!r} needs PyAV: pip install av')
        if codec != self._codec:
            self._open(av, codec)
        try:
            frames = self._context.decode(av.Packet(bytes(packet.data)))
            pixels = np.ascontiguousarray(frames[-1].to_ndarray(format='rgb24')) if frames else None
        except av.FFmpegError as error:
            raise ImageError(f'video of format {packet.encoding!r} cannot be decoded: {error.strerror}') from error
        if pixels is None:
            raise ImageError(f'video of format {packet.encoding!r}: a packet gave no image; it comes before the first '
                             'key image, or its image depends on later packets')
        height, width = pixels.shape[:2]
        return replace(packet, encoding='rgb8', compressed=False, height=height, width=width, step=3 * width,
                       data=pixels.data.cast('B'))

    def _open(self, av: Any, codec: str) -> None:
        self._codec = codec
        self._context = av.CodecContext.create(codec, 'r')
        # Without frame threads an image comes with its own packet, and not some packets later.
        self._context.thread_type = 'SLICE'
        self._context.options = {'max_pixels': str(self._max_pixels), 'flags': 'low_delay'}
