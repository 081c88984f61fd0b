"""A replay -> `summary.json`: everything that is compared, and what it was made of.

The schema has a version; a reader refuses one that it does not know.
"""
from __future__ import annotations

from collections.abc import Sequence
import json
import math
from pathlib import Path
from typing import cast

import numpy as np

from rsgmamba_ros.replay.observers.episodes import between_images, Episode, period_s
from rsgmamba_ros.replay.observers.timeline import PRESENCES, Timeline
from rsgmamba_ros.replay.report.schema import LowSpread, ModalitySummary, Spread, Summary, TimelineSummary
from rsgmamba_ros.vocabulary.errors import DatasetError
from rsgmamba_ros.vocabulary.images import Modality, Presence

SCHEMA = 'rsgmamba_ros/replay'
SCHEMA_VERSION = 1


def summarise(timeline: Timeline, episodes: Sequence[Episode], *, leader: Modality) -> TimelineSummary:
    """The part of the summary that follows from the timeline: counts, modalities, latency.

    Args:
        leader: the modality of which every image should end in a bundle.
    """
    bundles = timeline.bundles
    segmented = bundles['segmented'].astype(bool)
    finished = segmented if segmented.any() else np.ones(len(bundles), bool)
    led = timeline.slots[leader]['presence'] == PRESENCES.index(Presence.PRESENT)
    expected, done = len(timeline.arrivals[leader]), int((led & finished).sum())
    return {
        'bundles': len(bundles), 'segmented': int(segmented.sum()), 'expected': expected, 'missed': expected - done,
        'longest_gap_s': _rounded(np.diff(bundles['time_s']).max() if len(bundles) > 1 else math.nan),
        'modalities': {str(modality): _modality(timeline, modality, episodes) for modality in timeline.modalities},
        'wait_ms': percentiles(bundles['wait_s'] * 1e3),
        'network_ms': percentiles(bundles['network_s'][segmented] * 1e3),
        'episodes': [episode.as_json() for episode in episodes]}


def is_read_in_part(summary: Summary) -> bool:
    """Whether messages of the bag, or images of its topics, could not be read or segmented."""
    return not summary['bag']['is_whole'] or bool(summary['skipped']) or bool(summary['failures'])


def percentiles(values: np.ndarray) -> Spread:
    """Mean, p50, p95, p99 and maximum of the values that are numbers; None without any."""
    values = values[np.isfinite(values)]
    if not values.size:
        return {'mean': None, 'p50': None, 'p95': None, 'p99': None, 'max': None}
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {'mean': _rounded(values.mean()), 'p50': _rounded(p50), 'p95': _rounded(p95), 'p99': _rounded(p99),
            'max': _rounded(values.max())}


def _modality(timeline: Timeline, modality: Modality, episodes: Sequence[Episode]) -> ModalitySummary:
    slots, times = timeline.slots[modality], timeline.arrivals[modality]['time_s']
    presence, used = slots['presence'], slots['used'].astype(bool)
    period, between = period_s(times), int(between_images(timeline, modality).sum())
    present = int((presence == PRESENCES.index(Presence.PRESENT)).sum())
    silences = [episode for episode in episodes if episode.modality is modality and episode.kind == 'silent']
    return {
        'images': len(times), 'rate_hz': _rounded(1 / period) if period else None,
        'availability': _rounded(present / (len(presence) - between) if len(presence) > between else math.nan),
        'between': between,
        'presence': {str(kind): int((presence == index).sum()) for index, kind in enumerate(PRESENCES)},
        'used': int(used.sum()),
        # Where it was given to the network: a missing modality has 0 by definition, and is counted above.
        'reliability': percentiles_low(slots['reliability'][used]),
        'learned': percentiles_low(slots['learned'][used]),
        'signal_quality': percentiles_low(slots['signal_quality'][used]),
        'dropouts': [{'start_s': round(episode.start_s, 3), 'end_s': _rounded(episode.end_s)} for episode in silences],
        'skew_ms': percentiles(np.abs(slots['skew_s']) * 1e3), 'age_ms': percentiles(slots['age_s'] * 1e3),
        'delivery_ms': percentiles(timeline.arrivals[modality]['delivery_s'] * 1e3)}


def percentiles_low(values: np.ndarray) -> LowSpread:
    """Mean, p50, p5 and minimum of figures of which low ones are bad; None without any."""
    if not values.size:
        return {'mean': None, 'p50': None, 'p5': None, 'min': None}
    return {'mean': _rounded(values.mean()), 'p50': _rounded(np.percentile(values, 50)),
            'p5': _rounded(np.percentile(values, 5)), 'min': _rounded(values.min())}


def write_summary(path: Path, summary: Summary) -> None:
    """Write `summary.json` so that there is never half of one."""
    temporary = path.with_suffix('.tmp')
    temporary.write_text(json.dumps(summary, indent=1, allow_nan=False) + '\n', encoding='utf-8')
    temporary.replace(path)


def read_summary(path: str | Path) -> Summary:
    """Read `summary.json`, given it or the folder that it is in.

    Raises:
        DatasetError: it is not there, or is no summary of a replay that this version can read.
    """
    path = Path(path)
    path = path / 'summary.json' if path.is_dir() else path
    try:
        summary = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise DatasetError(f'cannot read {path}: {error}') from error
    if not isinstance(summary, dict) or summary.get('schema') != SCHEMA:
        raise DatasetError(f'{path} is no summary of a replay')
    if summary.get('schema_version') != SCHEMA_VERSION:
        raise DatasetError(f'{path} has schema version {summary.get("schema_version")}; this version reads '
                           f'{SCHEMA_VERSION}')
    return cast('Summary', summary)


def _rounded(value: float | None) -> float | None:
    return round(float(value), 4) if value is not None and math.isfinite(value) else None
