"""One JSON line a bundle: what was decided and what came of it. Two runs of one bag write the same bytes."""
from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha1
import json
from pathlib import Path
from typing import cast, TypedDict

import numpy as np

from rsgmamba_ros.replay.offline import Observer, ReplayedBundle
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality
from rsgmamba_ros.vocabulary.segmentation import Segmentation


class _ModalityAlways(TypedDict):
    presence: str
    stamp_ns: int | None
    skew_s: float | None
    age_s: float | None


class ModalityRecord(_ModalityAlways, total=False):
    """One modality of a line: presence and times; `reason` where it is not present; the rest after a segmentation."""

    reason: str
    used: bool
    reliability: float
    learned: float
    signal_quality: float
    causes: list[str]


class _BundleAlways(TypedDict):
    index: int
    time_s: float
    stamp_ns: int
    leader: str
    released_ns: int
    modalities: dict[str, ModalityRecord]
    reports: list[str]


class BundleRecord(_BundleAlways, total=False):
    """A line: `label_map` is the digest of a segmentation, `error` says why there is none."""

    error: str
    label_map: str


class BundleLog(Observer):
    """Writes `bundles.jsonl`, a whole line at a time.

    Durations of this machine are not in it: they differ from run to run and are in the summary.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = path.open('wb', buffering=0)

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def replayed(self, result: ReplayedBundle) -> None:
        """Write a bundle.

        Raises:
            BagError: the disk is full; the lines before are whole.
        """
        line = json.dumps(describe_bundle(result), separators=(',', ':')).encode() + b'\n'
        end = self._file.tell()
        try:
            written = self._file.write(line)
            if written != len(line):  # the disk took a part
                raise OSError('no space left on device')
        except OSError as error:
            self._file.truncate(end)
            raise BagError(f'cannot write {self.path}: {error}; it holds the {result.index} bundles before') from error


def read_bundles(path: Path) -> Iterator[BundleRecord]:
    """Read a log, bundle by bundle; a last line that was cut off is left out."""
    with path.open(encoding='utf-8') as file:
        for line in file:
            if line.endswith('\n'):
                yield cast('BundleRecord', json.loads(line))


def describe_bundle(result: ReplayedBundle) -> BundleRecord:
    """A bundle in plain values. Times in seconds are rounded to microseconds, reliabilities to 6 digits."""
    bundle, segmentation = result.bundle, result.segmentation
    description: BundleRecord = {
        'index': result.index, 'time_s': round(result.time_s, 6), 'stamp_ns': bundle.stamp_ns,
        'leader': str(bundle.leader), 'released_ns': bundle.released_ns,
        'modalities': {str(modality): _describe_modality(bundle, segmentation, modality) for modality in bundle.slots},
        'reports': list(segmentation.reports if segmentation else bundle.reports)}
    if result.error:
        description['error'] = result.error
    if segmentation is not None:
        description['label_map'] = label_map_digest(segmentation.label_map)
    return description


def label_map_digest(label_map: np.ndarray) -> str:
    """What tells label maps apart, 16 hexadecimal digits of their bytes' SHA-1 (fast, and nobody attacks it)."""
    return sha1(np.ascontiguousarray(label_map).data, usedforsecurity=False).hexdigest()[:16]


def _describe_modality(bundle: ImageBundle, segmentation: Segmentation | None, modality: Modality) -> ModalityRecord:
    slot = bundle.slots[modality]
    stamp_ns = slot.image.stamp_ns if slot.image else None
    description: ModalityRecord = {'presence': str(slot.presence), 'stamp_ns': stamp_ns,
                                   'skew_s': _rounded(slot.skew_s), 'age_s': _rounded(slot.age_s)}
    if slot.reason:
        description['reason'] = slot.reason
    if segmentation is not None and modality in segmentation.reliability:
        state = segmentation.reliability[modality]
        description |= {'used': state.used, 'reliability': _round(state.reliability), 'learned': _round(state.learned),
                        'signal_quality': _round(state.signal_quality), 'causes': list(state.causes)}
    return description


def _rounded(value: float | None) -> float | None:
    return None if value is None else _round(value)


def _round(value: float) -> float:
    return round(float(value), 6)
