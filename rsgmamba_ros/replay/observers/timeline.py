"""The numbers that a replay keeps for every image and bundle, in columns: about 100 bytes a bundle.

An hour at 30 Hz is 11 MB. Everything larger is written at once and not kept.
"""
from __future__ import annotations

from array import array
from dataclasses import dataclass
import math

import numpy as np

from rsgmamba_ros.evaluation.fault_injection import Image
from rsgmamba_ros.replay.offline import Observer, ReplayedBundle
from rsgmamba_ros.vocabulary.images import Modality, Presence

PRESENCES = tuple(Presence)


class Columns:
    """Named columns of numbers of equal length, to which rows are added; `columns['name']` is a NumPy array."""

    def __init__(self, **types: str):
        self._columns: dict[str, array[float]] = {name: array(kind) for name, kind in types.items()}

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        return np.array(self._columns[name])

    def append(self, **values: float) -> None:
        """Add a row; every column must be given."""
        for name, column in self._columns.items():
            column.append(values[name])


@dataclass
class Timeline(Observer):
    """Columns of the bundles, of each modality in them, and of each modality's arrivals.

    Attributes:
        bundles: `time_s` (arrival of the leading image after the bag's start), `leader` (index into `modalities`),
            `wait_s` (release minus arrival of the leading image), `network_s`, `segmented` (0 or 1), `reports` (count).
        slots: by modality, one row for each bundle: `presence` (index into `PRESENCES`), `skew_s`, `age_s`, `used`,
            `reliability`, `learned`, `signal_quality`; NaN where there is none.
        arrivals: by modality, one row for each image: `time_s`, `delivery_s` (arrival minus stamp).
    """

    modalities: tuple[Modality, ...]
    start_ns: int

    def __post_init__(self) -> None:
        self.bundles = Columns(time_s='d', leader='B', wait_s='f', network_s='f', segmented='B', reports='B')
        self.slots = {modality: Columns(presence='B', skew_s='f', age_s='f', used='B', reliability='f', learned='f',
                                        signal_quality='f') for modality in self.modalities}
        self.arrivals = {modality: Columns(time_s='d', delivery_s='d') for modality in self.modalities}

    def arrived(self, image: Image) -> None:
        """Note an image."""
        self.arrivals[image.modality].append(time_s=(image.received_ns - self.start_ns) / 1e9,
                                             delivery_s=(image.received_ns - image.stamp_ns) / 1e9)

    def replayed(self, result: ReplayedBundle) -> None:
        """Note a bundle."""
        bundle, segmentation = result.bundle, result.segmentation
        self.bundles.append(
            time_s=result.time_s, leader=self.modalities.index(bundle.leader), network_s=result.network_s,
            wait_s=(bundle.released_ns - bundle.leading_image.received_ns) / 1e9, segmented=segmentation is not None,
            reports=min(len(bundle.reports), 255))
        for modality, columns in self.slots.items():
            slot = bundle.slots[modality]
            state = segmentation.reliability.get(modality) if segmentation else None
            columns.append(
                presence=PRESENCES.index(slot.presence), skew_s=_number(slot.skew_s), age_s=_number(slot.age_s),
                used=state is not None and state.used, reliability=state.reliability if state else math.nan,
                learned=state.learned if state else math.nan,
                signal_quality=state.signal_quality if state else math.nan)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
