"""One JSON line a bundle: what was decided and what came of it. Two runs of one bag write the same bytes."""
from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha1
import json
from pathlib import Path
from typing import Any

import numpy as np

from rsgmamba_ros.replay.offline import Observer, ReplayedBundle
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality
from rsgmamba_ros.vocabulary.segmentation import Segmentation


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


def read_bundles(path: Path) -> Iterator[dict[str, Any]]:
    """Read a log, bundle by bundle; a last line that was cut off is left out."""
    with path.open(encoding='utf-8') as file:
        for line in file:
            if line.endswith('\n'):
                yield json.loads(line)


def describe_bundle(result: ReplayedBundle) -> dict[str, Any]:
    """A bundle in plain values. Times in seconds are rounded to microseconds, reliabilities to 6 digits."""
    bundle, segmentation = result.bundle, result.segmentation
    description: dict[str, Any] = {
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
    return sha1(np.ascontiguousarray(label_map), usedforsecurity=False).hexdigest()[:16]


def _describe_modality(bundle: ImageBundle, segmentation: Segmentation | None, modality: Modality) -> dict[str, Any]:
    slot = bundle.slots[modality]
    stamp_ns = slot.image.stamp_ns if slot.image else None
    description: dict[str, Any] = {'presence': str(slot.presence), 'stamp_ns': stamp_ns,
                                   'skew_s': _rounded(slot.skew_s), 'age_s': _rounded(slot.age_s)}
    if slot.reason:
        description['reason'] = slot.reason
    if segmentation is not None and modality in segmentation.reliability:
        state = segmentation.reliability[modality]
        description |= {'used': state.used, 'reliability': _rounded(state.reliability),
                        'learned': _rounded(state.learned), 'signal_quality': _rounded(state.signal_quality),
                        'causes': list(state.causes)}
    return description


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
