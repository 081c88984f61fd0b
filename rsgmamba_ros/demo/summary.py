"""A demo's recording -> figures for each phase: a dictionary for summary.json and a table for the terminal."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from rsgmamba_ros.demo.phases import Phase, phase_at
from rsgmamba_ros.demo.recording import Recording, Result
from rsgmamba_ros.evaluation.metrics import ConfusionMatrix
from rsgmamba_ros.vocabulary.images import Modality

SCHEMA_VERSION = 1

#: The reliability of a failing camera should fall below this share of its nominal one, and rise above it afterwards.
_HALF = 0.5


@dataclass(frozen=True)
class PhaseSummary:
    """One phase in figures; None where nothing was recorded.

    Attributes:
        expected: leading images that the sensors published.
        published: label maps that the node published for them.
        miou: over all of the phase's pixels, 0..1.
        reliability: mean by modality.
        latency_ms: p50 and p95 of label map received minus image stamped.
        fell_within: bundles until the reliability of a failing modality was below half of its nominal one.
        recovered_within: bundles until the reliability of a modality that failed before was above it again.
    """

    name: str
    start_s: float
    end_s: float
    faults: list[str]
    expected: int
    published: int
    miou: float | None
    reliability: dict[str, float | None]
    latency_ms: dict[str, float | None]
    fell_within: dict[str, int | None]
    recovered_within: dict[str, int | None]


def summarise(recording: Recording, phases: Sequence[Phase], *, auxiliary: Modality) -> list[PhaseSummary]:
    """Figures of every phase."""
    modalities = (Modality.RGB, auxiliary)
    by_phase = [[result for result in recording.results if phase_at(phases, result.time_s) == index]
                for index in range(len(phases))]
    nominal = {modality: _median(by_phase[0], modality) for modality in modalities}
    summaries = []
    for index, (phase, results) in enumerate(zip(phases, by_phase)):
        recovering = [m for m in (phases[index - 1].failing if index else ()) if m not in phase.failing]
        summaries.append(PhaseSummary(
            name=phase.name, start_s=phase.start_s, end_s=phase.end_s, faults=[str(fault) for fault in phase.faults],
            expected=len(set(recording.leading_s[index])), published=_published(results, recording.leading_s[index]),
            miou=_miou(results), reliability={str(m): _mean(results, m) for m in modalities},
            latency_ms=_latency(results),
            fell_within={str(m): _count_until(results, m, nominal[m], below=True) for m in phase.failing},
            recovered_within={str(m): _count_until(results, m, nominal[m], below=False) for m in recovering}))
    return summaries


def as_json(summaries: Sequence[PhaseSummary], facts: Mapping[str, object]) -> dict[str, object]:
    """What summary.json holds.

    Args:
        facts: of the run: command, seed, checkpoint, whether it is complete, ...
    """
    return {'schema_version': SCHEMA_VERSION, **facts, 'phases': [asdict(summary) for summary in summaries]}


def table(summaries: Sequence[PhaseSummary], modalities: Sequence[Modality]) -> str:
    """The figures as text, one line a phase."""
    names = [str(modality) for modality in modalities]
    header = ['phase', 'published', 'mIoU', *(f'rel. {name}' for name in names), 'p50 ms', 'p95 ms', 'bundles until']
    lines = [[summary.name, f'{summary.published}/{summary.expected}', _text(summary.miou, '.3f'),
              *(_text(summary.reliability[name], '.2f') for name in names),
              *(_text(summary.latency_ms[key], '.0f') for key in ('p50', 'p95')), _reaction(summary)]
             for summary in summaries]
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]
    rows = ['  '.join(cell.ljust(width) if column in (0, len(header) - 1) else cell.rjust(width)
                      for column, (cell, width) in enumerate(zip(line, widths))).rstrip()
            for line in [header, *lines]]
    return '\n'.join([rows[0], '-' * len(rows[0]), *rows[1:]])


def bundle_mious(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Times and mean IoU of each result by itself, both (N,)."""
    pairs = [(result.time_s, result.confusion.miou()) for result in recording.results]
    times, mious = np.array(pairs, float).reshape(-1, 2).T
    return times, mious


def _reaction(summary: PhaseSummary) -> str:
    parts = [f'{name} down {count or "never"}' for name, count in summary.fell_within.items()]
    parts += [f'{name} up {count or "never"}' for name, count in summary.recovered_within.items()]
    return ', '.join(parts)


def _text(value: float | None, form: str) -> str:
    return '-' if value is None else format(value, form)


def _values(results: Sequence[Result], modality: Modality) -> list[float]:
    return [result.reliability[modality] for result in results if modality in result.reliability]


def _mean(results: Sequence[Result], modality: Modality) -> float | None:
    values = _values(results, modality)
    return round(float(np.mean(values)), 4) if values else None


def _median(results: Sequence[Result], modality: Modality) -> float | None:
    values = _values(results, modality)
    return float(np.median(values)) if values else None


def _published(results: Sequence[Result], leading_s: Sequence[float]) -> int:
    return len({result.time_s for result in results} & set(leading_s))


def _miou(results: Sequence[Result]) -> float | None:
    if not results:
        return None
    total = ConfusionMatrix(results[0].confusion.classes, ignore_index=results[0].confusion.ignore_index)
    for result in results:
        total.counts += result.confusion.counts
    miou = total.miou()
    return None if np.isnan(miou) else round(miou, 4)


def _latency(results: Sequence[Result]) -> dict[str, float | None]:
    if not results:
        return {'p50': None, 'p95': None}
    p50, p95 = np.percentile([1000 * result.latency_s for result in results], (50, 95))
    return {'p50': round(float(p50), 2), 'p95': round(float(p95), 2)}


def _count_until(results: Sequence[Result], modality: Modality, nominal: float | None, *, below: bool) -> int | None:
    """How many bundles it took until the reliability was below (or not below) half of the nominal one."""
    if nominal is None:
        return None
    values = _values(results, modality)
    return next((count for count, value in enumerate(values, 1) if (value < _HALF * nominal) == below), None)
