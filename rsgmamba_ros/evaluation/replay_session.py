"""One replay from a bag to a folder of results; whatever ends it, what was found is written."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
import shutil
from time import perf_counter
from typing import Any, TYPE_CHECKING

from rsgmamba_ros.data.bag_reader import BagReader
from rsgmamba_ros.data.bag_topics import find_topics
from rsgmamba_ros.data.image_messages import LABELS
from rsgmamba_ros.evaluation import provenance, replay_figures
from rsgmamba_ros.evaluation.bundle_log import BundleLog
from rsgmamba_ros.evaluation.episodes import find_episodes
from rsgmamba_ros.evaluation.fault_injection import FaultInjector, parse_faults
from rsgmamba_ros.evaluation.label_matching import LabelFolder
from rsgmamba_ros.evaluation.replay import Observer, OfflineReplay
from rsgmamba_ros.evaluation.replay_config import ReplayConfig
from rsgmamba_ros.evaluation.replay_health import ReplayHealth
from rsgmamba_ros.evaluation.replay_report import class_legend, film_strip, panels, Report, ReportPart, state_legend
from rsgmamba_ros.evaluation.replay_summary import SCHEMA, SCHEMA_VERSION, summarise, write_summary
from rsgmamba_ros.evaluation.timeline import Timeline
from rsgmamba_ros.pipeline.health_report import HealthReport
from rsgmamba_ros.pipeline.synchroniser import Synchroniser
from rsgmamba_ros.vocabulary.errors import BagError, ConfigError
from rsgmamba_ros.vocabulary.images import Modality

if TYPE_CHECKING:
    from rsgmamba_ros.evaluation.replay_pictures import PictureCollector
    from rsgmamba_ros.evaluation.replay_score import ReplayScore
    from rsgmamba_ros.evaluation.result_bag import ResultBag
    from rsgmamba_ros.pipeline.segmenter import Segmenter

#: What a replay writes, and what it replaces when it is told to.
FILES = ('summary.json', 'bundles.jsonl', 'report.html', 'results')


@dataclass(frozen=True)
class ReplayOptions:
    """What to replay, and how.

    Attributes:
        checkpoint: None for the synchroniser alone, which needs neither torch nor a checkpoint.
        auxiliary: beside RGB, for a replay without a checkpoint; otherwise the checkpoint's counts.
        topics: named topics, see `find_topics`.
        labels_folder: ground truth as files, see `LabelFolder`.
        faults: see `fault_injection`.
        seed: of the faults.
        write_results: whether to write the bag of results.
        hash_bag: whether to hash all of the bag instead of samples.
        command: what the user typed, for the report.
    """

    bag: Path
    out: Path
    checkpoint: Path | None = None
    auxiliary: Modality = Modality.DEPTH
    topics: Mapping[Modality | str, str | None] = field(default_factory=dict)
    labels_folder: Path | None = None
    label_tolerance_s: float = 0.02
    faults: str = ''
    seed: int = 0
    config: ReplayConfig = field(default_factory=ReplayConfig)
    device: str = 'auto'
    precision: str = 'auto'
    write_results: bool = True
    hash_bag: bool = False
    overwrite: bool = False
    command: tuple[str, ...] = ()


class ReplaySession:
    """A replay being made. `run` does it; the constructor has checked everything that can be checked before.

    Attributes:
        total: messages to read, for a progress bar.
        duration_s: length of the bag.

    Raises:
        RSGMambaError: bag, checkpoint, topics, faults, labels or the folder of results cannot be used.
    """

    def __init__(self, options: ReplayOptions, bag: BagReader):
        self.options = options
        self.bag = bag
        faults = parse_faults(options.faults)
        if options.checkpoint is None and any(fault.spoils_content for fault in faults):
            raise ConfigError('a replay without a checkpoint looks at no pixels; faults of the content need one')
        self.segmenter = _segmenter(options) if options.checkpoint else None
        auxiliary = self.segmenter.auxiliary if self.segmenter else options.auxiliary
        self.topics = find_topics(bag, auxiliary=auxiliary, named=options.topics)
        self.modalities = tuple(m for m in (Modality.RGB, auxiliary) if m in self.topics.values())
        labels = LabelFolder(options.labels_folder) if options.labels_folder else None
        counts = {topic.name: topic.count for topic in bag.topics}
        self.total = sum(counts[name] for name, shows in self.topics.items() if self.segmenter or shows != LABELS)
        self.duration_s = max((bag.end_ns - bag.start_ns) / 1e9, 1e-3)
        _prepare(options.out, overwrite=options.overwrite)
        self.timeline = Timeline(self.modalities, bag.start_ns)
        self.injector = FaultInjector(faults, options.seed, bag.start_ns)
        self.synchroniser = Synchroniser(options.config.synchroniser(self.modalities))
        self._log = BundleLog(options.out / 'bundles.jsonl')
        self._health = ReplayHealth(self.modalities, self.synchroniser.counters, start_ns=bag.start_ns,
                                    has_results=self.segmenter is not None, publish=self._write_health)
        self._score: ReplayScore | None = None
        self._pictures: PictureCollector | None = None
        self._results: ResultBag | None = None
        self._replay = OfflineReplay(
            bag, self.topics, synchroniser=self.synchroniser, segmenter=self.segmenter, injector=self.injector,
            labels=labels, label_tolerance_s=options.label_tolerance_s, observers=self._observers())

    def run(self, *, should_stop: Callable[[], bool] = lambda: False,
            on_progress: Callable[[int], None] = lambda messages: None) -> dict[str, Any]:
        """Replay and write the results.

        Returns:
            The summary.

        Raises:
            BagError: the disk ran full, or no bundle came of the whole bag; the results so far are written.
        """
        start, error, ended_by = perf_counter(), None, 'end of bag'
        try:
            if not self._replay.run(should_stop=should_stop, on_progress=on_progress):
                ended_by = 'interrupted'
        except BagError as caught:
            error, ended_by = caught, str(caught)
        summary, closing_error = self._finish(ended_by, perf_counter() - start)
        if error or closing_error:
            raise error or closing_error
        if not summary['bundles'] and ended_by != 'interrupted':
            causes = [f'{count} x {cause}' for cause, count in summary['skipped'].items()] or self.bag.damage
            raise BagError(f'no bundle came of {self.bag.path}: {"; ".join(causes) or "its image topics are empty"}')
        return summary

    def _finish(self, ended_by: str, wall_s: float) -> tuple[dict[str, Any], BagError | None]:
        """Write everything that is there; a full disk must not keep the rest from being written."""
        error = None
        self._log.close()
        try:
            if self._results:
                self._results.close()
        except BagError as caught:
            error = caught
        summary = self._summary(ended_by, wall_s)
        try:
            write_summary(self.options.out / 'summary.json', summary)
            self._report(summary).write(self.options.out / 'report.html')
        except OSError as caught:
            error = error or BagError(f'cannot write the summary to {self.options.out}: {caught}')
        return summary, error

    def _observers(self) -> list[Observer]:
        observers: list[Observer] = [self.timeline, self._log, self._health]
        if self.segmenter:
            # torch comes with these; a sync-only replay does without.
            from rsgmamba_ros.evaluation.replay_pictures import PictureCollector
            from rsgmamba_ros.evaluation.replay_score import ReplayScore
            from rsgmamba_ros.evaluation.result_bag import ResultBag

            labels = self.segmenter.labels
            self._score = ReplayScore(labels)
            self._pictures = PictureCollector(labels, self._score, duration_s=self.duration_s)
            observers += [self._score, self._pictures]
            if self.options.write_results:
                self._results = ResultBag(self.options.out / 'results', labels)
                observers.append(self._results)
        return observers

    def _write_health(self, report: HealthReport, now_ns: int) -> None:
        if self._results:
            self._results.write_health(report, now_ns)

    def _summary(self, ended_by: str, wall_s: float) -> dict[str, Any]:
        options, bag = self.options, self.bag
        episodes = find_episodes(self.timeline, end_s=self.duration_s if ended_by == 'end of bag' else self._ended_s())
        score = self._score.as_json() if self._score else None
        network_s = float(self.timeline.bundles['network_s'].sum())
        config = {'replay': asdict(options.config), 'topics': {name: str(shows) for name, shows in self.topics.items()},
                  'faults': [str(fault) for fault in self.injector.faults], 'seed': options.seed,
                  'device': str(options.device), 'precision': options.precision}
        return {
            'schema': SCHEMA, 'schema_version': SCHEMA_VERSION,
            'mode': 'offline' if self.segmenter else 'sync only', 'complete': ended_by == 'end of bag',
            'ended_by': ended_by, 'ended_at_s': round(self._ended_s(), 3),
            'created': datetime.now(timezone.utc).isoformat(timespec='seconds'), 'command': list(options.command),
            'miou': score and score['miou'], **summarise(self.timeline, episodes, leader=self.modalities[0]),
            'score': score, 'health': self._health.as_json(),
            'skipped': dict(self._replay.skipped), 'failures': dict(self._replay.failures),
            'synchroniser': dict(sorted(self.synchroniser.counters.items())),
            'faults': self.injector.observations(), 'seed': options.seed,
            'bag': {'name': bag.path.name, 'fingerprint': provenance.bag_fingerprint(bag.path, whole=options.hash_bag),
                    'start_ns': bag.start_ns, 'duration_s': round(self.duration_s, 6), 'damage': bag.damage,
                    'topics': [{'name': topic.name, 'shows': str(self.topics[topic.name]), 'type': topic.message_type,
                                'count': topic.count} for topic in bag.topics if topic.name in self.topics]},
            'checkpoint': self._checkpoint(), 'config': config, 'config_sha256': provenance.config_sha256(config),
            'software': provenance.software(), 'machine': provenance.machine(),
            'performance': {'wall_s': round(wall_s, 3), 'network_s': round(network_s, 3),
                            'overhead': round(wall_s / network_s - 1, 4) if network_s else None,
                            'realtime_factor': round(self._ended_s() / max(wall_s, 1e-9), 3)}}

    def _ended_s(self) -> float:
        times = self.timeline.bundles['time_s']
        return float(times.max()) if len(times) else 0.0

    def _checkpoint(self) -> dict[str, Any] | None:
        path = self.options.checkpoint
        if path is None:
            return None
        return {'name': path.name, 'sha256': provenance.file_sha256(path), 'auxiliary': str(self.segmenter.auxiliary),
                'classes': list(self.segmenter.labels.names)}

    def _report(self, summary: Mapping[str, Any]) -> Report:
        parts: list[ReportPart] = []
        if len(self.timeline.bundles):
            miou = self._score.miou if self._score else ()
            figure = replay_figures.timeline_figure(self.timeline, duration_s=self.duration_s, faults=summary['faults'],
                                                    miou=miou)
            parts.append(ReportPart('Timeline', state_legend() + figure,
                                    'Shaded: faults that were injected. Strips: the state of each sensor.'))
        if self._pictures and self._score:
            named, labels = 'mIoU' if summary['miou'] is not None else 'mean confidence', self._score.labels
            legend = class_legend(labels.names, labels.palette)
            parts += [ReportPart('The run in pictures', legend + film_strip(self._pictures.strip, named)),
                      ReportPart(f'Worst images, by {named}', panels(self._pictures.worst, named))]
        if self._score and summary['miou'] is not None:
            confusion = self._score.confusion
            figure = replay_figures.confusion_figure(confusion.counts, self._score.labels.names, confusion.iou())
            parts.append(ReportPart('Classes', figure))
        if len(self.timeline.bundles):
            figure = replay_figures.sync_figure(self.timeline, leader=self.modalities[0], duration_s=self.duration_s)
            parts.append(ReportPart('Skew, wait and delivery', figure,
                                    'Skew: stamp of the partner minus stamp of the leading image. Wait: how long the '
                                    'leading image was held for its partners. Delivery: arrival minus stamp.'))
        return Report(summary, parts)


def _segmenter(options: ReplayOptions) -> Segmenter:
    from rsgmamba_ros.pipeline.segmenter import Segmenter, SegmenterConfig

    config = options.config
    own = SegmenterConfig(min_signal_quality=config.min_signal_quality, output_height=config.output_height,
                          output_width=config.output_width, thermal_scale=config.thermal_scale,
                          thermal_offset=config.thermal_offset)
    segmenter = Segmenter(options.checkpoint, device=options.device, precision=options.precision, config=own)
    segmenter.warm_up()
    return segmenter


def _prepare(out: Path, *, overwrite: bool) -> None:
    existing = [out / name for name in FILES if (out / name).exists()]
    if existing and not overwrite:
        raise ConfigError(f'{out} holds results already ({existing[0].name}); choose another folder, or overwrite them')
    try:
        for path in existing:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'cannot write to {out}: {error}') from error
