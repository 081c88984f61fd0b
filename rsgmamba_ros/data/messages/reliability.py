"""The reliability message <-> a `Segmentation`. The node and the bags share it; no ROS import.

The message classes are arguments: rclpy has its own, and rosbags makes others from the same definitions.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
import math
from typing import Protocol, TypeVar

import numpy as np

from rsgmamba_ros.vocabulary.images import Modality, Presence
from rsgmamba_ros.vocabulary.segmentation import ModalityReliability, Segmentation

#: The constants of ModalityReliability.msg.
PRESENCE_CODES = {Presence.PRESENT: 0, Presence.LATE: 1, Presence.MISSING: 2, Presence.STALE: 3}
_PRESENCES = {code: presence for presence, code in PRESENCE_CODES.items()}

Message = TypeVar('Message')


class ModalityReliabilityMessage(Protocol):
    """Fields of rsgmamba_ros/msg/ModalityReliability."""

    modality: str
    reliability: float
    learned: float
    signal_quality: float
    presence: int
    used: bool
    causes: Sequence[str]
    skew_s: float
    age_s: float


class StampMessage(Protocol):
    """Fields of builtin_interfaces/msg/Time."""

    sec: int
    nanosec: int


class HeaderMessage(Protocol):
    """Fields of std_msgs/msg/Header."""

    stamp: StampMessage
    frame_id: str


class ReliabilityMessage(Protocol):
    """Fields of rsgmamba_ros/msg/Reliability."""

    header: HeaderMessage
    leader: str
    modalities: Sequence[ModalityReliabilityMessage]
    reports: Sequence[str]
    latency_s: float
    sensor_profile: str


def create_reliability_message(segmentation: Segmentation, *, header: object, published_ns: int,
                               message_class: Callable[..., Message],
                               modality_class: Callable[..., object]) -> Message:
    """Build the message that says what each modality contributed.

    Args:
        header: std_msgs/Header with stamp and frame of the segmentation.
        published_ns: time of publication, nanoseconds.
        message_class: of rsgmamba_ros/msg/Reliability.
        modality_class: of rsgmamba_ros/msg/ModalityReliability.
    """
    modalities = [modality_class(
        modality=str(modality), reliability=float(state.reliability), learned=float(state.learned),
        signal_quality=float(state.signal_quality), presence=PRESENCE_CODES[state.presence], used=bool(state.used),
        causes=list(state.causes), skew_s=_or_nan(state.skew_s), age_s=_or_nan(state.age_s))
        for modality, state in segmentation.reliability.items()]
    return message_class(header=header, leader=str(segmentation.leader), modalities=modalities,
                         reports=list(segmentation.reports), latency_s=(published_ns - segmentation.stamp_ns) * 1e-9,
                         sensor_profile=segmentation.sensor_profile)


def read_reliability_message(message: ReliabilityMessage) -> Segmentation:
    """Read a message back; the segmentation has no pixels."""
    no_pixels = np.empty((0, 0), np.uint8)
    stamp = message.header.stamp
    return Segmentation(
        stamp_ns=stamp.sec * 1_000_000_000 + stamp.nanosec, frame_id=message.header.frame_id,
        leader=Modality(message.leader), label_map=no_pixels, confidence=no_pixels, reports=tuple(message.reports),
        sensor_profile=str(message.sensor_profile),
        reliability={Modality(entry.modality): _read_modality(entry) for entry in message.modalities})


def _read_modality(entry: ModalityReliabilityMessage) -> ModalityReliability:
    return ModalityReliability(
        reliability=float(entry.reliability), learned=float(entry.learned), signal_quality=float(entry.signal_quality),
        presence=_PRESENCES[entry.presence], used=bool(entry.used), causes=tuple(entry.causes),
        skew_s=_or_none(entry.skew_s), age_s=_or_none(entry.age_s))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
