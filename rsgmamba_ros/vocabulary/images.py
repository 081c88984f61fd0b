"""Images as they come from a sensor, and the bundle that the synchroniser makes of them."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np


class Modality(str, Enum):
    """A kind of sensor image. The value is the name used in topics, parameters and files."""

    RGB = 'rgb'
    DEPTH = 'depth'
    THERMAL = 'thermal'

    def __str__(self) -> str:
        return self.value


#: What the network may be given beside RGB.
AUXILIARY_MODALITIES = (Modality.DEPTH, Modality.THERMAL)


def modality_axis(auxiliary: Modality) -> tuple[Modality, Modality]:
    """The order of the modalities along every M axis: RGB, then the auxiliary one."""
    return Modality.RGB, auxiliary


@dataclass(frozen=True, eq=False)
class StampedImage:
    """One image as the sensor sent it, before any scaling.

    Attributes:
        modality: what the image shows.
        stamp_ns: the header's stamp (capture time by the sensor's clock), nanoseconds.
        received_ns: arrival time by this machine's clock (the bag's clock in a replay), nanoseconds.
        frame_id: the TF frame of the header.
        pixels: RGB: (H, W, 3) uint8, channels in RGB order whatever the message had.
            Depth and thermal: (H, W), in the encoding's own dtype and native byte order.
        encoding: what `pixels` holds: `rgb8`, `mono8`, `mono16`, `16UC1` or `32FC1`.
            It decides the unit of depth (REP-118): `16UC1` millimetres with 0 invalid, `32FC1` metres
            with NaN and inf by REP-117.
    """

    modality: Modality
    stamp_ns: int
    received_ns: int
    pixels: np.ndarray
    encoding: str
    frame_id: str = ''

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


class Presence(str, Enum):
    """How a modality takes part in a bundle."""

    PRESENT = 'present'  #: its image was paired within the tolerated skew, in time
    LATE = 'late'        #: the stream is alive, but the partner image had not come by the deadline
    MISSING = 'missing'  #: the stream is dead, never came, or skipped this image
    STALE = 'stale'      #: images arrive, but their stamps do not advance or contradict the arrivals

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, eq=False)
class BundleSlot:
    """What a bundle knows of one modality.

    Attributes:
        presence: PRESENT exactly if `image` is not None.
        image: the image, None unless PRESENT.
        skew_s: this image's stamp minus the leading image's, corrected for a configured or estimated clock
            offset, seconds; None without an image.
        age_s: release time of the bundle minus arrival of the newest image of this modality, seconds; None if
            none ever came.
        reason: for people, why the slot is not PRESENT ("stopped 1.2 s ago"); empty when PRESENT.
        reused: whether the image was already the partner of an earlier leading image.
    """

    presence: Presence
    image: StampedImage | None = None
    skew_s: float | None = None
    age_s: float | None = None
    reason: str = ''
    reused: bool = False

    def __post_init__(self) -> None:
        if (self.image is not None) != (self.presence is Presence.PRESENT):
            raise ValueError(f'a slot has an image exactly if it is present, got {self.presence}')


class Doubt(str):
    """A report about images that are used all the same, for example that one came later than usual."""

    __slots__ = ()


@dataclass(frozen=True, eq=False)
class ImageBundle:
    """One leading image with its partners: what the pipeline turns into one segmentation.

    Attributes:
        leader: the modality whose image leads; its stamp and frame_id are the result's.
        slots: one entry for each configured modality; the leader's is PRESENT.
        released_ns: when the synchroniser let it go, on the clock of `received_ns`.
        reports: faults of clocks and streams seen now, for people and for the reliability message,
            for example "depth: clock is 0.20 s ahead of rgb". Those that cost no pair are a `Doubt`.
    """

    leader: Modality
    slots: Mapping[Modality, BundleSlot]
    released_ns: int
    reports: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        slot = self.slots.get(self.leader)
        if slot is None or slot.image is None:
            raise ValueError(f'the leading modality {self.leader} has no image')

    @property
    def leading_image(self) -> StampedImage:
        """The image whose stamp, frame_id and size the result takes."""
        image = self.slots[self.leader].image
        assert image is not None
        return image

    @property
    def stamp_ns(self) -> int:
        """Stamp of the leading image, nanoseconds."""
        return self.leading_image.stamp_ns

    def image(self, modality: Modality) -> StampedImage | None:
        """The image of a modality, None if it is not there."""
        slot = self.slots.get(modality)
        return slot.image if slot else None
