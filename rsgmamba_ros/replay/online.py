"""Answers of a running node to a bag that is played -> the same results as those of an offline replay.

No ROS here: the evaluator node hands over plain values. Every leading image of the bag counts, whether the node
answered or not.
"""
from __future__ import annotations

from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from rsgmamba_ros.data.messages.images import LABELS
from rsgmamba_ros.data.messages.recorded_images import RecordedLabelMap
from rsgmamba_ros.replay.label_matching import LabelMatcher
from rsgmamba_ros.replay.observers.bundle_log import BundleLog
from rsgmamba_ros.replay.observers.score import ReplayScore
from rsgmamba_ros.replay.observers.timeline import Timeline
from rsgmamba_ros.replay.offline import image_without_pixels, ReplayedBundle
from rsgmamba_ros.replay.report.results import END_OF_BAG, Findings, Sources, write_results
from rsgmamba_ros.replay.report.schema import Summary
from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage
from rsgmamba_ros.vocabulary.segmentation import Segmentation

#: Halves of an answer (label map, reliability) that may wait for the other half.
_KEPT_HALVES = 64
#: A skew is published as float32: a partner's stamp follows from it to within this.
_STAMP_ROUNDING_NS = 1000


class OnlineEvaluation:
    """Takes in the node's answers and scores them.

    Args:
        sources: mode `online`; its bag is read here once more, for the headers of all images.
        out: folder of results.
        label_tolerance_s: largest distance of a label's stamp from the leading image's, seconds.
    """

    def __init__(self, sources: Sources, out: Path, *, label_tolerance_s: float = 0.02):
        self._sources = sources
        self._out = out
        self._log = BundleLog(out / 'bundles.jsonl')
        timeline = Timeline(sources.modalities, sources.bag.start_ns)
        self._score = ReplayScore(sources.labels) if sources.labels and LABELS in sources.topics.values() else None
        self.findings = Findings(timeline, self._score)
        self._arrived: dict[Modality, dict[int, int]] = {modality: {} for modality in sources.modalities}
        sensor_topics = {topic: shows for topic, shows in sources.topics.items() if isinstance(shows, Modality)}
        for image in sources.bag.headers(sensor_topics):
            timeline.arrived(image)
            self._arrived[image.modality][image.stamp_ns] = image.received_ns
        self._stamps = {modality: sorted(arrived) for modality, arrived in self._arrived.items()}
        self._truth = self._label_maps_of_bag() if self._score else iter(())
        self._next_truth: RecordedLabelMap | None = next(self._truth, None)
        self._matcher: LabelMatcher[ReplayedBundle] = LabelMatcher(
            tolerance_ns=round(label_tolerance_s * 1e9), patience_ns=1_000_000_000)
        self._label_maps: OrderedDict[int, np.ndarray] = OrderedDict()
        self._reliabilities: OrderedDict[int, tuple[Segmentation, int]] = OrderedDict()
        self._bundles = 0
        self._drops: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()

    @property
    def is_answered(self) -> bool:
        """Whether there are as many answers as leading images."""
        return self._bundles >= len(self._arrived[self._sources.modalities[0]])

    def add_label_map(self, stamp_ns: int, label_map: np.ndarray) -> None:
        """Take in a label map, (H, W) uint8."""
        self._label_maps[stamp_ns] = label_map
        self._join(stamp_ns)

    def add_reliability(self, segmentation: Segmentation, *, published_ns: int) -> None:
        """Take in what the node said beside the label map.

        Args:
            segmentation: without pixels.
            published_ns: when, by the bag's clock.
        """
        self._reliabilities[segmentation.stamp_ns] = segmentation, published_ns
        self._join(segmentation.stamp_ns)

    def add_counts(self, counts: Mapping[str, int]) -> None:
        """Take in the node's running counts of drops."""
        self._drops.update({name: count - self._drops[name] for name, count in counts.items()})

    def finish(self, *, ended_by: str = END_OF_BAG, wall_s: float) -> Summary:
        """Write the results; the summary.

        Raises:
            BagError: the disk is full.
        """
        self._feed_truth(None)
        self._publish(self._matcher.rest())
        self._log.close()
        self._skipped['answers of which one half never came'] += len(self._label_maps) + len(self._reliabilities)
        self.findings.skipped = self._skipped + self._sources.bag.skipped
        self.findings.synchroniser = self._drops
        return write_results(self._out, self._sources, self.findings, ended_by=ended_by, wall_s=wall_s)

    def _label_maps_of_bag(self) -> Iterator[RecordedLabelMap]:
        topic = next(topic for topic, shows in self._sources.topics.items() if shows == LABELS)
        return self._sources.bag.label_maps(topic)

    def _join(self, stamp_ns: int) -> None:
        for halves in (self._label_maps, self._reliabilities):
            while len(halves) > _KEPT_HALVES:
                halves.popitem(last=False)
                self._skipped['answers of which one half never came'] += 1
        if stamp_ns not in self._label_maps or stamp_ns not in self._reliabilities:
            return
        segmentation, published_ns = self._reliabilities.pop(stamp_ns)
        segmentation = replace(segmentation, label_map=self._label_maps.pop(stamp_ns))
        bundle = self._bundle(segmentation, published_ns)
        time_s = (bundle.leading_image.received_ns - self._sources.bag.start_ns) / 1e9
        self._matcher.add_result(stamp_ns, ReplayedBundle(self._bundles, time_s, bundle, segmentation),
                                 now_ns=published_ns)
        self._bundles += 1
        self._feed_truth(published_ns)
        self._publish(self._matcher.matched(published_ns))

    def _bundle(self, segmentation: Segmentation, published_ns: int) -> ImageBundle:
        slots = {}
        for modality, state in segmentation.reliability.items():
            image = None
            if state.presence is Presence.PRESENT:
                skew_ns = 0 if modality is segmentation.leader else round((state.skew_s or 0.0) * 1e9)
                image = self._seen(modality, segmentation.stamp_ns + skew_ns, published_ns)
            slots[modality] = BundleSlot(state.presence, image, state.skew_s, state.age_s)
        return ImageBundle(segmentation.leader, slots, published_ns, segmentation.reports)

    def _seen(self, modality: Modality, stamp_ns: int, published_ns: int) -> StampedImage:
        stamps = self._stamps[modality]
        index = bisect_left(stamps, stamp_ns - _STAMP_ROUNDING_NS)
        if index < len(stamps) and stamps[index] <= stamp_ns + _STAMP_ROUNDING_NS:
            stamp_ns = stamps[index]
        return image_without_pixels(modality, stamp_ns=stamp_ns,
                                    received_ns=self._arrived[modality].get(stamp_ns, published_ns))

    def _feed_truth(self, now_ns: int | None) -> None:
        """Read ground truth up to a bag time, or all that is left."""
        while self._next_truth is not None and (now_ns is None or self._next_truth.received_ns <= now_ns):
            try:
                self._matcher.add_label_map(self._next_truth.stamp_ns, self._next_truth.decode())
            except ImageError:
                self._skipped[f'{self._next_truth.topic}: label image that cannot be read'] += 1
            if now_ns is None:  # all at once must not push labels out that results still wait for
                self._publish(self._matcher.matched(self._next_truth.received_ns))
            self._next_truth = next(self._truth, None)

    def _publish(self, matched: Iterator[tuple[ReplayedBundle, np.ndarray | None]]) -> None:
        for result, label_map in matched:
            result = result if label_map is None else replace(result, label_map=label_map)
            self.findings.timeline.replayed(result)
            self._log.replayed(result)
            if self._score:
                self._score.replayed(result)
