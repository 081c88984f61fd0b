"""The demo's bag -> what the node said of every leading image, beside the ground truth of that moment."""
from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.messages.definitions import typestore
from rsgmamba_ros.data.messages.images import ImageContent, LABELS
from rsgmamba_ros.data.messages.recorded_images import RecordedImage, RecordedLabelMap
from rsgmamba_ros.data.messages.reliability import read_reliability_message, ReliabilityMessage
from rsgmamba_ros.demo.phases import Phase, phase_at
from rsgmamba_ros.evaluation.metrics import ConfusionMatrix, count_unlabelled_as_wrong
from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace


@dataclass(frozen=True, eq=False)
class Result:
    """One label map that the node published.

    Attributes:
        time_s: stamp of the leading image, after the start.
        latency_s: its arrival at the recorder minus its stamp.
        confusion: against the ground truth of the same stamp; empty without one.
        reliability: published reliability by modality; empty if that message is not in the bag.
    """

    time_s: float
    latency_s: float
    confusion: ConfusionMatrix
    reliability: Mapping[Modality, float]


@dataclass(frozen=True, eq=False)
class Panel:
    """What is shown of one phase.

    Attributes:
        images: those nearest to the result by stamp; None for a silent camera.
        leader: whose image led.
        label_map: the result, (H, W) uint8.
        truth: the ground truth of that moment, (H, W) uint8; None without one.
    """

    images: Mapping[Modality, np.ndarray | None]
    leader: Modality
    label_map: np.ndarray
    truth: np.ndarray | None


@dataclass(eq=False)
class Recording:
    """A demo as its bag tells it.

    Attributes:
        leading_s: stamps of the images that lead in each phase, after the start.
        panels: by phase, from its middle; None for a phase without a result.
    """

    results: list[Result]
    leading_s: list[list[float]]
    panels: list[Panel | None] = field(default_factory=list)


def read_recording(bag: Path, phases: Sequence[Phase], *, start_ns: int, auxiliary: Modality,
                   labels: LabelSpace) -> Recording:
    """Read what the recorder wrote, however far it got.

    Args:
        start_ns: stamp of the sensors' first image, nanoseconds.

    Raises:
        BagError: there is no bag, or it is unreadable.
    """
    with BagReader(bag) as reader:
        # On a busy machine the truth of a moment may come after the result: it is read first.
        truth = {image.stamp_ns: image.decode() for image in reader.label_maps('/ground_truth')}
        reliabilities = _reliabilities(reader, '/segmentation/reliability')
    images = _ImagePass(phases, start_ns, auxiliary, labels, truth, reliabilities)
    with BagReader(bag) as reader:
        topics: dict[str, ImageContent] = {
            '/rgb/image': Modality.RGB, f'/{auxiliary}/image': auxiliary, '/segmentation': LABELS}
        for image in reader.images_and_label_maps(topics):
            images.take(image)
    return images.recording


def _reliabilities(reader: BagReader, topic: str) -> dict[int, dict[Modality, float]]:
    """Published reliabilities by stamp in nanoseconds."""
    found = {}
    for _, message_type, _, raw in reader.serialised({topic}):
        message = cast('ReliabilityMessage', typestore().deserialize_cdr(raw, message_type))
        segmentation = read_reliability_message(message)
        found[segmentation.stamp_ns] = {
            modality: state.reliability for modality, state in segmentation.reliability.items()}
    return found


class _ImagePass:
    """One pass over the images and results, in order of arrival."""

    #: A camera without an image that near to a result is shown as silent.
    _SILENT_NS = 600_000_000
    #: Images kept to find that of a result, which comes later.
    _KEPT = 40

    def __init__(self, phases: Sequence[Phase], start_ns: int, auxiliary: Modality, labels: LabelSpace,
                 truth: Mapping[int, np.ndarray], reliabilities: Mapping[int, Mapping[Modality, float]]):
        self._phases, self._start_ns, self._auxiliary, self._labels = phases, start_ns, auxiliary, labels
        self._truth, self._reliabilities = truth, reliabilities
        self._latest: dict[Modality, deque[RecordedImage]] = {
            modality: deque(maxlen=self._KEPT) for modality in (Modality.RGB, auxiliary)}
        self.recording = Recording([], [[] for _ in phases], [None for _ in phases])

    def take(self, image: RecordedImage | RecordedLabelMap) -> None:
        time_s = (image.stamp_ns - self._start_ns) * 1e-9
        index = phase_at(self._phases, time_s)
        if isinstance(image, RecordedLabelMap):
            if index is not None:
                self._take_result(image, time_s, index)
        else:
            self._latest[image.modality].append(image)
            if index is not None and image.modality is self._leader(index):
                self.recording.leading_s[index].append(time_s)

    def _leader(self, index: int) -> Modality:
        return self._auxiliary if Modality.RGB in self._phases[index].missing else Modality.RGB

    def _take_result(self, image: RecordedLabelMap, time_s: float, index: int) -> None:
        label_map = image.decode()
        confusion = ConfusionMatrix(len(self._labels), ignore_index=self._labels.ignore_index)
        truth = self._truth.get(image.stamp_ns)
        if truth is not None:
            confusion.add(truth, count_unlabelled_as_wrong(label_map, truth, len(self._labels)))
        latency_s = (image.received_ns - image.stamp_ns) * 1e-9
        self.recording.results.append(
            Result(time_s, latency_s, confusion, self._reliabilities.get(image.stamp_ns, {})))
        phase = self._phases[index]
        if self.recording.panels[index] is None and time_s >= (phase.start_s + phase.end_s) / 2:
            shown = {modality: self._nearest(modality, image.stamp_ns) for modality in self._latest}
            self.recording.panels[index] = Panel(shown, self._leader(index), label_map, truth)

    def _nearest(self, modality: Modality, stamp_ns: int) -> np.ndarray | None:
        """Pixels of the image nearest to a stamp."""
        image = min(self._latest[modality], key=lambda image: abs(image.stamp_ns - stamp_ns), default=None)
        if image is None or abs(image.stamp_ns - stamp_ns) > self._SILENT_NS:
            return None
        try:
            return image.decode().pixels
        except ImageError:
            return None
