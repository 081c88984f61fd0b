"""A bag -> bundles -> segmentations, offline: the node's own synchroniser and segmenter, with the bag's time as clock.

The bag is read in receive order and streamed, as fast as the machine goes. Two runs decide the same. Without a
segmenter only the synchroniser runs, no pixel is decoded, and torch is not needed.

Observers take the results and make statistics, files and pictures of them.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol

import numpy as np

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.messages.images import ImageContent, LABELS
from rsgmamba_ros.data.messages.recorded_images import RecordedImage, RecordedLabelMap
from rsgmamba_ros.evaluation.fault_injection import FaultInjector, Image
from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser
from rsgmamba_ros.replay.causes import Causes
from rsgmamba_ros.replay.label_matching import LabelFolder, LabelMatcher
from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality, StampedImage
from rsgmamba_ros.vocabulary.segmentation import Segmentation

#: How long a result waits for its label image, bag time. Labels are recorded with the images, not seconds later.
_LABEL_PATIENCE_NS = 1_000_000_000
_NO_PIXELS = np.empty((0, 0), np.uint8)


@dataclass(frozen=True, eq=False)
class ReplayedBundle:
    """One bundle and its result.

    Attributes:
        index: of the bundle, from 0.
        time_s: arrival of the leading image after the start of the bag, seconds.
        segmentation: None in a sync-only replay, and where no image of the bundle was usable.
        error: why there is no segmentation; empty otherwise.
        network_s: duration of the segmentation on this machine, seconds; 0 without one.
        label_map: ground truth, None where there is none.
    """

    index: int
    time_s: float
    bundle: ImageBundle
    segmentation: Segmentation | None = None
    error: str = ''
    network_s: float = 0.0
    label_map: np.ndarray | None = None


class BundleSegmenter(Protocol):
    """What makes segmentations of bundles, as `Segmenter` does."""

    def segment(self, bundle: ImageBundle) -> Segmentation:
        """See `Segmenter.segment`."""
        ...


class Observer:
    """Is told of every image and result; each kind of event comes in order of bag time."""

    def arrived(self, image: Image) -> None:
        """Take note of an image that comes to the synchroniser."""

    def segmented(self, result: ReplayedBundle) -> None:
        """Take note of a bundle as soon as its result is there, or without one in a sync-only replay."""

    def replayed(self, result: ReplayedBundle) -> None:
        """Take note of a bundle when its ground truth has come, too, or cannot come any more."""


class OfflineReplay:
    """One pass through a bag.

    Attributes:
        read_messages: messages taken from the bag so far, for a progress bar.

    Args:
        topics: what each topic shows, see `find_topics`.
        synchroniser: new.
        segmenter: None for a sync-only replay.
        injector: applies faults to the images; None for no faults.
        labels: ground truth as files, if it is not in the bag.
        label_tolerance_s: largest distance of a label's stamp from the leading image's, seconds.
    """

    def __init__(self, bag: BagReader, topics: Mapping[str, ImageContent], *, synchroniser: Synchroniser,
                 segmenter: BundleSegmenter | None = None, injector: FaultInjector | None = None,
                 labels: LabelFolder | None = None, label_tolerance_s: float = 0.02,
                 observers: Sequence[Observer] = ()):
        self._bag = bag
        self._topics = topics
        self._synchroniser = synchroniser
        self._segmenter = segmenter
        self._injector = injector or FaultInjector((), 0, bag.start_ns)
        self._label_folder = labels
        self._has_labels = segmenter is not None and (labels is not None or LABELS in topics.values())
        self._matcher: LabelMatcher[ReplayedBundle] = LabelMatcher(
            tolerance_ns=round(label_tolerance_s * 1e9), patience_ns=_LABEL_PATIENCE_NS)
        self._observers = observers
        self._bundles = 0
        self._leading_images = 0
        self._skipped = Causes()
        self._failures = Causes()
        self._advice = Causes()
        self.read_messages = 0

    @property
    def skipped(self) -> Counter[str]:
        """Images and labels that could not be used, by cause, and messages of the bag that could not be read."""
        return self._skipped.counts + self._bag.skipped

    @property
    def failures(self) -> Counter[str]:
        """Bundles that gave no segmentation, by cause."""
        return self._failures.counts

    @property
    def advice(self) -> Counter[str]:
        """Bundles whose images make no sense, by the parameter to set."""
        return self._advice.counts

    def run(self, *, should_stop: Callable[[], bool] = lambda: False,
            on_progress: Callable[[int], object] = lambda messages: None) -> bool:
        """Go through the bag.

        Args:
            should_stop: asked before each image; True ends the replay as if the bag ended there.
            on_progress: told how many messages have been read since it was last told.

        Returns:
            Whether the end of the bag was reached.
        """
        reported = 0
        stopped = False
        for image in self._injector.apply(self._images()):
            on_progress(self.read_messages - reported)
            reported = self.read_messages
            if stopped := should_stop():
                break
            self._advance(image.received_ns)
            for observer in self._observers:
                observer.arrived(image)
            self._take(self._synchroniser.push(_with_stamps(image), now_ns=image.received_ns), now_ns=image.received_ns)
        self._advance(None)
        for result, label_map in self._matcher.rest():
            self._publish(result, label_map)
        on_progress(self.read_messages - reported)
        return not stopped

    def _images(self) -> Iterator[Image]:
        """The bag's images, decoded where there is a segmenter; ground truth goes to the matcher."""
        if self._segmenter is None:
            yield from self._headers()
            return
        for recorded in self._bag.images_and_label_maps(self._topics):
            self.read_messages += 1
            if isinstance(recorded, RecordedImage):
                self._read_label_file(recorded)
            try:
                if isinstance(recorded, RecordedLabelMap):
                    self._matcher.add_label_map(recorded.stamp_ns, recorded.decode())
                else:
                    yield recorded.decode()
            except ImageError as error:
                self._skipped.add(error, source=recorded.topic)

    def _headers(self) -> Iterator[Image]:
        """The bag's images without pixels, for a replay without a segmenter; ground truth is left out."""
        topics = {name: shows for name, shows in self._topics.items() if isinstance(shows, Modality)}
        for recorded in self._bag.headers(topics):
            self.read_messages += 1
            try:
                recorded.check()
            except ImageError as error:
                self._skipped.add(error, source=recorded.topic)
                continue
            yield recorded

    def _read_label_file(self, recorded: RecordedImage) -> None:
        if self._label_folder is not None and recorded.modality is self._synchroniser.config.leader:
            label_map = self._label_folder.read(recorded.stamp_ns, self._leading_images)
            self._leading_images += 1
            if label_map is not None:
                self._matcher.add_label_map(recorded.stamp_ns, label_map)

    def _advance(self, now_ns: int | None) -> None:
        """Let the bag's time pass, deadline by deadline; to the last one if there is no end."""
        last = None
        while (due_ns := self._synchroniser.next_deadline_ns()) is not None and due_ns != last:
            if now_ns is not None and due_ns > now_ns:
                break
            self._take(self._synchroniser.poll(due_ns), now_ns=due_ns)
            last = due_ns

    def _take(self, bundles: Sequence[ImageBundle], *, now_ns: int) -> None:
        for bundle in bundles:
            result = self._segment(bundle)
            self._bundles += 1
            for observer in self._observers:
                observer.segmented(result)
            if self._has_labels:
                stamp_ns = self._injector.original_stamp_ns(bundle.stamp_ns)
                self._matcher.add_result(stamp_ns, result, now_ns=now_ns)
            else:
                self._publish(result, None)
        for result, label_map in self._matcher.matched(now_ns):
            self._publish(result, label_map)

    def _segment(self, bundle: ImageBundle) -> ReplayedBundle:
        time_s = (bundle.leading_image.received_ns - self._bag.start_ns) / 1e9
        result = ReplayedBundle(self._bundles, time_s, bundle)
        if self._segmenter is None:
            return result
        start = perf_counter()
        try:
            segmentation = self._segmenter.segment(bundle)
        except ImageError as error:
            self._failures.add(error)
            return replace(result, error=str(error))
        network_s = perf_counter() - start
        for modality, state in segmentation.reliability.items():
            if state.advice:
                self._advice.add(state.advice, source=str(modality))
        return replace(result, segmentation=segmentation, network_s=network_s)

    def _publish(self, result: ReplayedBundle, label_map: np.ndarray | None) -> None:
        result = result if label_map is None else replace(result, label_map=label_map)
        for observer in self._observers:
            observer.replayed(result)


def image_without_pixels(modality: Modality, *, stamp_ns: int, received_ns: int) -> StampedImage:
    """An image of which only the header matters."""
    return StampedImage(modality, stamp_ns, received_ns, _NO_PIXELS, encoding='')


def _with_stamps(image: Image) -> StampedImage:
    if isinstance(image, StampedImage):
        return image
    return image_without_pixels(image.modality, stamp_ns=image.stamp_ns, received_ns=image.received_ns)
