"""What a replay found, offline or online -> `summary.json` and `report.html`."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.messages.images import ImageContent
from rsgmamba_ros.evaluation.fault_injection import FaultObservation
from rsgmamba_ros.replay import provenance
from rsgmamba_ros.replay.observers.episodes import find_episodes
from rsgmamba_ros.replay.observers.timeline import time_advice, Timeline
from rsgmamba_ros.replay.report import figures, tables
from rsgmamba_ros.replay.report.page import class_legend, FigurePart, legend, Part, PicturesPart, Report, StripPart
from rsgmamba_ros.replay.report.schema import CheckpointSummary, HealthSummary, SourcesSummary, Summary
from rsgmamba_ros.replay.report.summary import SCHEMA, SCHEMA_VERSION, summarise, write_summary
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace

if TYPE_CHECKING:
    from rsgmamba_ros.replay.observers.score import ReplayScore
    from rsgmamba_ros.replay.report.pictures import PictureCollector

#: `ended_by` of a replay that went through.
END_OF_BAG = 'end of bag'


@dataclass(frozen=True)
class Sources:
    """What a replay is made of.

    Attributes:
        mode: offline, sync only or online.
        topics: what each topic shows.
        checkpoint: file; None without a network.
        labels: classes of the checkpoint; None without a network.
        config: everything else that decides the result, plain values.
        command: what the user typed.
    """

    mode: str
    bag: BagReader
    topics: Mapping[str, ImageContent]
    modalities: tuple[Modality, ...]
    checkpoint: Path | None = None
    labels: LabelSpace | None = None
    config: Mapping[str, object] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    hash_bag: bool = False

    @property
    def duration_s(self) -> float:
        """Length of the bag, seconds."""
        return max((self.bag.end_ns - self.bag.start_ns) / 1e9, 1e-3)

    def as_json(self) -> SourcesSummary:
        """For the summary: names, hashes, topics, versions."""
        bag, config = self.bag, dict(self.config)
        checkpoint: CheckpointSummary | None = None
        if self.checkpoint is not None and self.labels is not None:
            checkpoint = {'name': self.checkpoint.name, 'sha256': provenance.file_sha256(self.checkpoint),
                          'auxiliary': str(self.modalities[-1]), 'classes': list(self.labels.names)}
        return {
            'bag': {'name': bag.path.name, 'fingerprint': provenance.bag_fingerprint(bag.path, whole=self.hash_bag),
                    'start_ns': bag.start_ns, 'duration_s': round(self.duration_s, 6), 'damage': list(bag.damage),
                    'is_whole': bag.is_whole, 'lost': bag.lost,
                    'topics': [{'name': topic.name, 'shows': str(self.topics[topic.name]), 'type': topic.message_type,
                                'count': topic.count} for topic in bag.topics if topic.name in self.topics]},
            'checkpoint': checkpoint, 'config': config, 'config_sha256': provenance.config_sha256(config),
            'software': provenance.software(), 'machine': provenance.machine()}


@dataclass
class Findings:
    """What a replay has found so far.

    Attributes:
        skipped: images and labels that could not be used, by cause.
        failures: bundles without a segmentation, by cause.
        advice: bundles that make no sense, by the parameter or option to set.
        synchroniser: its counters.
        health: as `ReplayHealth.as_json` gives it.
        faults: as `FaultInjector.observations` gives them.
    """

    timeline: Timeline
    score: ReplayScore | None = None
    pictures: PictureCollector | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    advice: Mapping[str, int] = field(default_factory=dict)
    synchroniser: Mapping[str, int] = field(default_factory=dict)
    health: HealthSummary = field(default_factory=lambda: HealthSummary(level='OK', findings=[]))
    faults: Sequence[FaultObservation] = ()
    seed: int = 0

    @property
    def ended_at_s(self) -> float:
        """Time of the last bundle, seconds after the bag's start; 0 without one."""
        times = self.timeline.bundles['time_s']
        return float(times.max()) if len(times) else 0.0


def build_summary(sources: Sources, findings: Findings, *, ended_by: str, wall_s: float) -> Summary:
    """Everything that goes into `summary.json`.

    Args:
        ended_by: `END_OF_BAG`, or why the replay ended before.
        wall_s: how long it took, seconds.
    """
    timeline, ended_at_s = findings.timeline, findings.ended_at_s
    complete = ended_by == END_OF_BAG
    episodes = find_episodes(timeline, end_s=sources.duration_s if complete else ended_at_s)
    score = findings.score.as_json() if findings.score else None
    network_s = float(np.sum(timeline.bundles['network_s']))
    return {
        'schema': SCHEMA, 'schema_version': SCHEMA_VERSION, 'mode': sources.mode, 'complete': complete,
        'ended_by': ended_by, 'ended_at_s': round(ended_at_s, 3),
        'created': datetime.now(timezone.utc).isoformat(timespec='seconds'), 'command': list(sources.command),
        'miou': score['miou'] if score else None, 'score': score,
        **summarise(timeline, episodes, leader=sources.modalities[0]), 'health': findings.health,
        'skipped': dict(findings.skipped), 'failures': dict(findings.failures),
        'advice': {**findings.advice, **time_advice(timeline)},
        'synchroniser': dict(sorted(findings.synchroniser.items())), 'faults': list(findings.faults),
        'seed': findings.seed, **sources.as_json(),
        'performance': {'wall_s': round(wall_s, 3), 'network_s': round(network_s, 3),
                        'overhead': round(wall_s / network_s - 1, 4) if network_s else None,
                        'realtime_factor': round(ended_at_s / max(wall_s, 1e-9), 3)}}


def build_report(sources: Sources, findings: Findings, summary: Summary) -> Report:
    """The summary with figures and pictures."""
    # First what happened, as a figure and as tables; last what it was made of.
    parts = [_timeline_part(sources, findings, summary), tables.episodes_table(summary), tables.faults_table(summary),
             tables.health_table(summary), *_picture_parts(sources, findings, summary),
             _classes_part(findings, summary), _synchronisation_part(sources, findings),
             tables.modalities_table(summary), tables.decisions_table(summary), tables.provenance_table(summary)]
    return Report(summary, tables.warnings(summary), tables.tiles(summary), [part for part in parts if part])


def _timeline_part(sources: Sources, findings: Findings, summary: Summary) -> Part | None:
    if not len(findings.timeline.bundles):
        return None
    svg = figures.timeline_figure(findings.timeline, duration_s=sources.duration_s, faults=summary['faults'],
                                  miou=findings.score.miou if findings.score else ())
    return FigurePart('Timeline', 'Strips: the state of each sensor. Shaded: faults that were injected.', svg,
                      legend(figures.STATES, figures.STATE_COLOURS))


def _picture_parts(sources: Sources, findings: Findings, summary: Summary) -> list[Part]:
    if not (findings.pictures and sources.labels):
        return []
    score = 'mIoU' if summary['miou'] is not None else 'mean confidence'
    parts = (StripPart('The run in pictures', '', findings.pictures.strip, score, class_legend(sources.labels)),
             PicturesPart(f'Worst images, by {score}', '', findings.pictures.worst, score))
    return [part for part in parts if part.panels or part.legend]


def _classes_part(findings: Findings, summary: Summary) -> Part | None:
    score = findings.score
    if score is None or summary['miou'] is None:
        return None
    return FigurePart('Classes', '', figures.confusion_figure(score.confusion.counts, score.labels.names,
                                                              score.confusion.iou()))


def _synchronisation_part(sources: Sources, findings: Findings) -> Part | None:
    if not len(findings.timeline.bundles):
        return None
    svg = figures.sync_figure(findings.timeline, leader=sources.modalities[0], duration_s=sources.duration_s)
    return FigurePart('Skew, wait and delivery',
                      'Skew: stamp of the partner minus stamp of the leading image. Wait: from the arrival of the '
                      'leading image to the release of its bundle (online: to its result). Delivery: arrival minus '
                      'stamp.', svg)


def write_results(out: Path, sources: Sources, findings: Findings, *, ended_by: str, wall_s: float) -> Summary:
    """Write `summary.json` and `report.html`.

    Returns:
        The summary.

    Raises:
        BagError: the disk is full.
    """
    summary = build_summary(sources, findings, ended_by=ended_by, wall_s=wall_s)
    try:
        write_summary(out / 'summary.json', summary)
        build_report(sources, findings, summary).write(out / 'report.html')
    except OSError as error:
        raise BagError(f'cannot write the summary to {out}: {error}') from error
    return summary
