"""Timeline -> episodes: when a sensor was silent, late, unusable or badly timed."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsgmamba_ros.replay.observers.timeline import PRESENCES, Timeline
from rsgmamba_ros.replay.report.schema import EpisodeSummary
from rsgmamba_ros.vocabulary.images import Modality, Presence

#: A gap of more than this many periods is a dropout: three images in a row. Fewer are lost images, and counted.
_DROPOUT_PERIODS = 3.5
#: Fewest consecutive bundles or images in an episode, and most normal ones within it.
_MIN_LENGTH, _MAX_GAP = 3, 2
#: A stream is slower than the bundles if its period is more than this many of theirs.
_SLOWER = 1.5
#: A modality is unreliable below this share of its usual reliability (the upper quartile of the run).
_UNRELIABLE = 0.5
#: Delivery that differs by more than this from the usual one is an episode, seconds.
_DELIVERY_CHANGE_S = 0.03
_DELIVERY_BIN_S = 0.01


@dataclass(frozen=True)
class Episode:
    """A fault of one modality, and how long it lasted.

    Attributes:
        kind: `silent` (no image arrives), `missing`, `late`, `stale` (presence in the bundles), `unused` (its images
            were not given to the network), `unreliable`, or `delivery` (images later or earlier against their stamps
            than usual: a delay, or a clock that is wrong).
        start_s: after the bag's start.
        end_s: likewise; None if it lasted to the end.
        detail: for people.
    """

    modality: Modality
    kind: str
    start_s: float
    end_s: float | None
    detail: str = ''

    def as_json(self) -> EpisodeSummary:
        """Plain values, times rounded to milliseconds."""
        return {'modality': str(self.modality), 'kind': self.kind, 'start_s': round(self.start_s, 3),
                'end_s': None if self.end_s is None else round(self.end_s, 3), 'detail': self.detail}


def find_episodes(timeline: Timeline, *, end_s: float) -> list[Episode]:
    """All episodes of a replay, in order of their start.

    Args:
        end_s: length of the bag, seconds.
    """
    found: list[Episode] = []
    for modality in timeline.modalities:
        found += _silences(timeline, modality, end_s)
        found += _delivery_changes(timeline, modality)
        found += _bundle_states(timeline, modality)
    return sorted(found, key=lambda episode: (episode.start_s, str(episode.modality), episode.kind))


def period_s(times_s: np.ndarray) -> float | None:
    """The usual time between two images, seconds; None with fewer than two."""
    return float(np.median(np.diff(times_s))) if len(times_s) > 1 else None


def between_images(timeline: Timeline, modality: Modality) -> np.ndarray:
    """Bundles without an image of a slower stream that fell between two of its images, one bool a bundle.

    A stream is slower if its period is more than `_SLOWER` times that of the bundles. Nothing is missing then.
    """
    bundle_times, times = timeline.bundles['time_s'], timeline.arrivals[modality]['time_s']
    presence = timeline.slots[modality]['presence']
    usual, stamps = period_s(bundle_times), np.sort(times - timeline.arrivals[modality]['delivery_s'])
    # Not the median: a stream that loses half of its images is lossy and not slow.
    period = float(np.quantile(np.diff(stamps), 0.1)) if len(stamps) > 1 else 0.0
    if not usual or period <= _SLOWER * usual:
        return np.zeros(len(bundle_times), bool)
    edges = np.concatenate([[times[0] - 3 * period], times, [times[-1] + 3 * period]])
    after = np.searchsorted(edges, bundle_times).clip(1, len(edges) - 1)
    lively = (edges[after] - edges[after - 1] < _DROPOUT_PERIODS * period) & (bundle_times <= edges[-1])
    not_due = (bundle_times >= times[0]) & (bundle_times - edges[after - 1] < period)
    absent = np.isin(presence, [PRESENCES.index(Presence.MISSING), PRESENCES.index(Presence.LATE)])
    between: np.ndarray = (lively | not_due) & absent
    return between


def _silences(timeline: Timeline, modality: Modality, end_s: float) -> list[Episode]:
    times = timeline.arrivals[modality]['time_s']
    if not len(times):
        return [Episode(modality, 'silent', 0.0, None, 'never received')]
    period = period_s(times)
    if not period:
        return []
    # Both ends of the bag count: a stream may begin late and stop early.
    edges = np.concatenate([[-period], times, [end_s + period]])
    gaps = np.flatnonzero(np.diff(edges) > _DROPOUT_PERIODS * period)
    return [Episode(modality, 'silent', float(edges[i] + period), None if i == len(times) else float(edges[i + 1]),
                    'no image arrived') for i in gaps]


def _delivery_changes(timeline: Timeline, modality: Modality) -> list[Episode]:
    """Times at which delivery was on another level than usual, each level by itself."""
    times, delivery = timeline.arrivals[modality]['time_s'], timeline.arrivals[modality]['delivery_s']
    period = period_s(times)
    if len(delivery) < _MIN_LENGTH or not period:
        return []
    bins = np.round(delivery / _DELIVERY_BIN_S).astype(np.int64)
    values, counts = np.unique(bins, return_counts=True)
    usual = float(np.median(delivery[bins == values[counts.argmax()]]))
    found = []
    for level in np.split(values, np.flatnonzero(np.diff(values) > 2) + 1):
        on_level = np.flatnonzero(np.isin(bins, level))
        change = float(np.median(delivery[on_level]) - usual)
        if abs(change) <= _DELIVERY_CHANGE_S:
            continue
        # Held up on the way, the first image leaves a gap behind it; a clock that is set wrong leaves none. What was
        # held up is placed where it was due.
        first = on_level[0]
        held_up = change > 0 and first > 0 and times[first] - times[first - 1] > period + change / 4
        due = times - delivery + usual if held_up else times
        text = f'{abs(change):.2f} s {"later" if change > 0 else "earlier"} against the stamps than usual'
        moments = np.sort(due[on_level])
        for group in np.split(moments, np.flatnonzero(np.diff(moments) > _DROPOUT_PERIODS * period) + 1):
            later = due[due > group[-1]]
            if len(group) >= _MIN_LENGTH:
                found.append(Episode(modality, 'delivery', float(group[0]), float(later.min()) if later.size else None,
                                     text))
    return found


def _bundle_states(timeline: Timeline, modality: Modality) -> list[Episode]:
    times, slots = timeline.bundles['time_s'], timeline.slots[modality]
    presence, between = slots['presence'], between_images(timeline, modality)
    found = []
    for index, kind in enumerate(PRESENCES):
        if kind is not Presence.PRESENT:
            found += [_episode(modality, str(kind), times, *run) for run in _runs((presence == index) & ~between)]
    present = (presence == PRESENCES.index(Presence.PRESENT)) & timeline.bundles['segmented'].astype(bool)
    used = slots['used'].astype(bool)
    found += [_episode(modality, 'unused', times, *run) for run in _runs(present & ~used)]
    reliability = slots['reliability']
    if used.any():
        usual = float(np.quantile(reliability[used], 0.75))
        for first, last in _runs(used & (reliability < _UNRELIABLE * usual)):
            text = f'reliability {np.mean(reliability[first:last + 1]):.2f}, usually {usual:.2f}'
            found.append(_episode(modality, 'unreliable', times, first, last, text))
    return found


def _episode(modality: Modality, kind: str, times: np.ndarray, first: int, last: int, detail: str = '') -> Episode:
    """From the first bundle to the one after the last, which is the first normal one."""
    end_s = float(times[last + 1]) if last + 1 < len(times) else None
    return Episode(modality, kind, float(times[first]), end_s, detail)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each stretch of True that is long enough, short interruptions included."""
    runs: list[list[int]] = []
    for index in np.flatnonzero(flags):
        if runs and index - runs[-1][1] <= _MAX_GAP + 1:
            runs[-1][1] = int(index)
        else:
            runs.append([int(index), int(index)])
    return [(first, last) for first, last in runs if last - first + 1 >= _MIN_LENGTH]
