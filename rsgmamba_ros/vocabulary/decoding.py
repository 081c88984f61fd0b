"""What a user may say of image messages before they are decoded: the largest size, and the unit of integer depth."""
from __future__ import annotations

from dataclasses import dataclass

from rsgmamba_ros.vocabulary.depth import MILLIMETRE_M


@dataclass(frozen=True)
class Decoding:
    """How image messages are decoded, as far as they do not say so themselves.

    Attributes:
        max_image_pixels: larger images are refused before they are decoded: a few kilobytes of PNG can stand for
            gigabytes.
        depth_unit_m: metres of one step of integer depth. REP-118 has millimetres; some cameras send 0.1 mm.
    """

    max_image_pixels: int = 50_000_000
    depth_unit_m: float = MILLIMETRE_M


#: What holds if nobody has said anything.
DEFAULT_DECODING = Decoding()
