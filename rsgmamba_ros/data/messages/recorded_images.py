"""Images and label maps as a bag holds them: header and payload, decoded when somebody asks for the pixels."""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rsgmamba_ros.data.messages.encodings import layout_of
from rsgmamba_ros.data.messages.images import LABELS, stamped_image
from rsgmamba_ros.data.messages.serialised_images import ImageMessage
from rsgmamba_ros.vocabulary.decoding import Decoding, DEFAULT_DECODING
from rsgmamba_ros.vocabulary.images import Modality, StampedImage


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """What recorded images and label maps have in common.

    Attributes:
        topic: where it was recorded.
        received_ns: receive time, the bag's clock, nanoseconds.
        message: header and payload.
        decoding: options for `decode`.
    """

    topic: str
    received_ns: int
    message: ImageMessage
    decoding: Decoding = DEFAULT_DECODING

    @property
    def stamp_ns(self) -> int:
        """The stamp of the header, nanoseconds."""
        return self.message.stamp_ns


@dataclass(frozen=True, slots=True)
class RecordedImage(RecordedMessage):
    """An image of a bag, its pixels not yet decoded. The synchroniser takes it as it is.

    Attributes:
        modality: what it shows.
    """

    modality: Modality = field(kw_only=True)

    def check(self) -> None:
        """Check what can be known without the pixels.

        Raises:
            ImageError: the modality cannot have this encoding.
        """
        if not self.message.compressed:
            layout_of(self.modality, self.message.encoding)

    def decode(self) -> StampedImage:
        """Decode the pixels.

        Raises:
            ImageError: the modality cannot have this encoding, or the data are damaged.
        """
        pixels = self.message.decode(self.modality, self.decoding)
        return stamped_image(self.modality, pixels, stamp_ns=self.message.stamp_ns, received_ns=self.received_ns,
                             frame_id=self.message.frame_id, decoding=self.decoding)


@dataclass(frozen=True, slots=True)
class RecordedLabelMap(RecordedMessage):
    """An image of class indices of a bag, not yet decoded."""

    def decode(self) -> np.ndarray:
        """Decode the class indices, (H, W) uint8 or uint16.

        Raises:
            ImageError: class indices cannot have this encoding, or the data are damaged.
        """
        return self.message.decode(LABELS, self.decoding)[0]
