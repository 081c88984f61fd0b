"""One replay from a bag to a folder of results; whatever ends it, what was found is written."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
import shutil
from time import perf_counter
from typing import TYPE_CHECKING

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.topics import find_topics, NONE
from rsgmamba_ros.data.messages.images import ImageContent, LABELS
from rsgmamba_ros.evaluation.fault_injection import FaultInjector, parse_faults
from rsgmamba_ros.pipeline.monitoring.health_report import HealthReport
from rsgmamba_ros.pipeline.node_settings import NodeSettings
from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser
from rsgmamba_ros.replay.config import recorded_settings
from rsgmamba_ros.replay.label_matching import LabelFolder
from rsgmamba_ros.replay.observers.bundle_log import BundleLog
from rsgmamba_ros.replay.observers.health import ReplayHealth
from rsgmamba_ros.replay.observers.timeline import Timeline
from rsgmamba_ros.replay.offline import Observer, OfflineReplay
from rsgmamba_ros.replay.report.results import END_OF_BAG, Findings, Sources, write_results
from rsgmamba_ros.replay.report.schema import Summary
from rsgmamba_ros.vocabulary.errors import BagError, ConfigError
from rsgmamba_ros.vocabulary.images import Modality

if TYPE_CHECKING:
    from rsgmamba_ros.pipeline.segmenter import Segmenter
    from rsgmamba_ros.replay.observers.result_bag import ResultBag

#: What a replay writes, and what it replaces when it is told to.
FILES = ('summary.json', 'bundles.jsonl', 'report.html', 'results')


@dataclass(frozen=True)
class ReplayOptions:
    """What to replay, and how.

    Attributes:
        checkpoint: None for the synchroniser alone, which needs neither torch nor a checkpoint.
        topics: named topics, see `find_topics`.
        labels_folder: ground truth as files, instead of a topic of the bag; see `LabelFolder`.
        faults: see `fault_injection`.
        seed: of the faults.
        settings: those of the node. Its `modality` counts in a replay without a checkpoint; a checkpoint has its own.
        write_results: whether to write the bag of results.
        hash_bag: whether to hash all of the bag instead of samples.
        command: what the user typed, for the report.
    """

    bag: Path
    out: Path
    checkpoint: Path | None = None
    topics: Mapping[ImageContent, str | None] = field(default_factory=dict)
    labels_folder: Path | None = None
    label_tolerance_s: float = 0.02
    faults: str = ''
    seed: int = 0
    settings: NodeSettings = field(default_factory=NodeSettings)
    write_results: bool = True
    hash_bag: bool = False
    overwrite: bool = False
    command: tuple[str, ...] = ()


class ReplaySession:
    """A replay being made. `run` does it; the constructor has checked everything that can be checked before.

    Attributes:
        total: messages to read, for a progress bar.
        sources: what the replay is made of.
        findings: what it has found so far.

    Raises:
        RSGMambaError: bag, checkpoint, topics, faults, labels or the folder of results cannot be used.
    """

    def __init__(self, options: ReplayOptions, bag: BagReader):
        self.options = options
        faults = parse_faults(options.faults)
        if options.checkpoint is None and any(fault.changes_pixels for fault in faults):
            raise ConfigError('a replay without a checkpoint looks at no pixels; faults of the content need one')
        self.segmenter = open_segmenter(options.checkpoint, options.settings) if options.checkpoint else None
        auxiliary = self.segmenter.auxiliary if self.segmenter else options.settings.auxiliary
        # Ground truth is read from the folder or from the bag, never from both.
        named = {**options.topics, LABELS: NONE} if options.labels_folder else options.topics
        topics = find_topics(bag, auxiliary=auxiliary, named=named)
        labels = LabelFolder(options.labels_folder, options.settings.decoding()) if options.labels_folder else None
        modalities = tuple(m for m in (Modality.RGB, auxiliary) if m in topics.values())
        self.sources = _sources(options, bag, topics, modalities, self.segmenter)
        counts = {topic.name: topic.count for topic in bag.topics}
        self.total = sum(counts[name] for name, shows in topics.items() if self.segmenter or shows != LABELS)
        prepare_folder(options.out, overwrite=options.overwrite)
        self.findings = Findings(Timeline(modalities, bag.start_ns), seed=options.seed)
        self._synchroniser = Synchroniser(options.settings.synchroniser(modalities))
        self._injector = FaultInjector(faults, options.seed, bag.start_ns)
        self._log = BundleLog(options.out / 'bundles.jsonl')
        self._results: ResultBag | None = None
        self._health = ReplayHealth(modalities, self._synchroniser.counters, start_ns=bag.start_ns,
                                    has_results=self.segmenter is not None, publish=self._write_health)
        self._replay = OfflineReplay(
            bag, topics, synchroniser=self._synchroniser, segmenter=self.segmenter, injector=self._injector,
            labels=labels, label_tolerance_s=options.label_tolerance_s, observers=self._observers())

    def run(self, *, should_stop: Callable[[], bool] = lambda: False,
            on_progress: Callable[[int], object] = lambda messages: None) -> Summary:
        """Replay and write the results.

        Returns:
            The summary.

        Raises:
            BagError: the disk ran full, or no bundle came of the whole bag; the results so far are written.
        """
        start, error, ended_by = perf_counter(), None, END_OF_BAG
        try:
            if not self._replay.run(should_stop=should_stop, on_progress=on_progress):
                ended_by = 'interrupted'
        except BagError as caught:
            error, ended_by = caught, str(caught)
        self._log.close()
        try:
            if self._results:
                self._results.close()
        except BagError as caught:  # a full disk must not keep the rest from being written
            error = error or caught
            ended_by = str(error)
        wall_s = perf_counter() - start
        summary = self._write(ended_by, wall_s)
        if error:
            raise error
        if not summary['bundles'] and ended_by == END_OF_BAG:
            causes = [f'{count} x {cause}' for cause, count in summary['skipped'].items()] or summary['bag']['damage']
            raise BagError(f'no bundle came of {self.options.bag}: {"; ".join(causes) or "its image topics are empty"}')
        return summary

    def _write(self, ended_by: str, wall_s: float) -> Summary:
        findings = self.findings
        findings.skipped, findings.failures = self._replay.skipped, self._replay.failures
        findings.advice = self._replay.advice
        findings.synchroniser, findings.faults = self._synchroniser.counters, self._injector.observations()
        findings.health = self._health.as_json()
        return write_results(self.options.out, self.sources, findings, ended_by=ended_by, wall_s=wall_s)

    def _observers(self) -> list[Observer]:
        observers: list[Observer] = [self.findings.timeline, self._log, self._health]
        if self.segmenter:
            # torch comes with these; a sync-only replay does without.
            from rsgmamba_ros.replay.observers.result_bag import ResultBag
            from rsgmamba_ros.replay.observers.score import ReplayScore
            from rsgmamba_ros.replay.report.pictures import PictureCollector

            labels = self.segmenter.labels
            has_truth = self.options.labels_folder is not None or LABELS in self.sources.topics.values()
            score = ReplayScore(labels, has_truth=has_truth)
            pictures = PictureCollector(labels, score, duration_s=self.sources.duration_s)
            self.findings.score, self.findings.pictures = score, pictures
            observers += [score, pictures]
            if self.options.write_results:
                self._results = ResultBag(self.options.out / 'results', labels,
                                          overlay_alpha=self.options.settings.overlay_alpha)
                observers.append(self._results)
        return observers

    def _write_health(self, report: HealthReport, now_ns: int) -> None:
        if self._results:
            self._results.write_health(report, now_ns)


def _sources(options: ReplayOptions, bag: BagReader, topics: Mapping[str, ImageContent],
             modalities: tuple[Modality, ...], segmenter: Segmenter | None) -> Sources:
    settings = options.settings
    config = {'replay': recorded_settings(settings), 'topics': {name: str(shows) for name, shows in topics.items()},
              'faults': options.faults.split(), 'seed': options.seed, 'device': settings.device,
              'precision': settings.precision, 'order_by': bag.order_by}
    return Sources(mode='offline' if segmenter else 'sync only', bag=bag, topics=topics, modalities=modalities,
                   checkpoint=options.checkpoint, labels=segmenter.labels if segmenter else None, config=config,
                   command=options.command, hash_bag=options.hash_bag)


def open_segmenter(checkpoint: Path, settings: NodeSettings) -> Segmenter:
    """A network as the settings want it, warmed up; torch is imported here."""
    from rsgmamba_ros.ops.cpu.threads import use_threads
    from rsgmamba_ros.pipeline.segmenter import Segmenter

    use_threads(settings.threads)
    segmenter = Segmenter(checkpoint, device=settings.device, precision=settings.precision,
                          config=settings.segmenter())
    segmenter.warm_up()
    return segmenter


def prepare_folder(out: Path, *, overwrite: bool) -> None:
    """Make the folder of results, without the results of an earlier replay.

    Raises:
        ConfigError: it holds results that may not be replaced, or cannot be written to.
    """
    existing = [out / name for name in FILES if (out / name).exists()]
    if existing and not overwrite:
        raise ConfigError(f'{out} holds results already ({existing[0].name}); choose another folder, or overwrite them')
    try:
        for path in existing:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'cannot write to {out}: {error}') from error
