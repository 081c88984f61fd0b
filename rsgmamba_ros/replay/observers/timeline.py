"""The numbers that a replay keeps for every image and bundle, in columns: about 100 bytes a bundle.

An hour at 30 Hz is 11 MB. Everything larger is written at once and not kept.
"""
from __future__ import annotations

from array import array
from dataclasses import dataclass
import math

import numpy as np

from rsgmamba_ros.evaluation.fault_injection import Image
from rsgmamba_ros.pipeline.synchronisation.stream_clock import PACE_LIMITS
from rsgmamba_ros.replay.offline import Observer, ReplayedBundle
from rsgmamba_ros.vocabulary.images import Modality, Presence

PRESENCES = tuple(Presence)

#: Fewer images tell nothing of the pace of the stamps.
_FEWEST_FOR_PACE = 10
_BY_HEADER = 'the option --order-by header'


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


def time_advice(timeline: Timeline) -> dict[str, int]:
    """Whether to order the bag by header stamps: what the log times show, and for how many bundles."""
    for modality, columns in timeline.arrivals.items():
        times, count = columns['time_s'], len(timeline.bundles)
        if len(times) < _FEWEST_FOR_PACE:
            continue
        arrived, stamped = (float(values[-1] - values[0]) for values in (times, times - columns['delivery_s']))
        if not arrived and stamped:
            return {f'{modality}: all log times are equal; the order of the stamps is used with {_BY_HEADER}': count}
        if arrived and not PACE_LIMITS[0] < stamped / arrived < PACE_LIMITS[1]:
            return {f'{modality}: stamps advance {stamped / arrived:.2g} s in a second of log time, as those of a '
                    f'simulation; the stamps alone are used with {_BY_HEADER}': count}
    return {}


def _number(value: float | None) -> float:
    return math.nan if value is None else value
