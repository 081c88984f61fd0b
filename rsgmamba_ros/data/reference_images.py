"""Reference images of one sensor for a sensor profile: some pairs of a bag or of a folder, evenly spread over it."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.topics import find_topics, NONE
from rsgmamba_ros.data.datasets import open_dataset
from rsgmamba_ros.data.messages.images import ImageContent, LABELS
from rsgmamba_ros.data.samples import bundle_of, Dataset
from rsgmamba_ros.pipeline.profiling import evenly_spread
from rsgmamba_ros.pipeline.synchronisation.config import SynchroniserConfig
from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser
from rsgmamba_ros.vocabulary.errors import BagError, ImageError
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage

_NO_PIXELS = np.empty((0, 0), np.uint8)
_BAG_FILES = ('metadata.yaml', '*.mcap', '*.db3', '*.bag')


class References(ABC):
    """Bundles with both images, read when they are iterated over.

    Attributes:
        description: where they are from, for people.
        found: how many pairs there are, of which some are read.
        warnings: what could not be read, a sentence each; complete when all pairs were read.
    """

    description: str
    found: int
    warnings: Sequence[str] = ()

    @abstractmethod
    def __len__(self) -> int:
        """How many are read."""

    @abstractmethod
    def __iter__(self) -> Iterator[ImageBundle]: ...


class FolderReferences(References):
    """Samples of a dataset."""

    def __init__(self, dataset: Dataset, description: str, *, images: int):
        self.description, self.found = description, len(dataset)
        self._dataset = dataset
        self._indices = evenly_spread(len(dataset), images)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[ImageBundle]:
        for index in self._indices:
            sample = self._dataset[index]
            yield bundle_of({Modality.RGB: sample.rgb, self._dataset.auxiliary: sample.auxiliary}, index)


@dataclass(frozen=True)
class _Pair:
    """Receive times of the two images of a pair, nanoseconds."""

    received_ns: Mapping[Modality, int]


class BagReferences(References):
    """Pairs of a bag, as the synchroniser makes them. Its headers are read first, and then only the chosen images.

    Args:
        topics: named topics, see `find_topics`.

    Raises:
        BagError: the bag or a topic cannot be used, or no images pair.
    """

    def __init__(self, path: Path, auxiliary: Modality, *, images: int, topics: Mapping[ImageContent, str | None]):
        self._path = path
        with BagReader(path) as bag:
            found = find_topics(bag, auxiliary=auxiliary, named={**topics, LABELS: NONE})
            self._topics = {topic: shows for topic, shows in found.items() if isinstance(shows, Modality)}
            pairs = list(_pairs(bag, self._topics))
            self.warnings = self._losses = [] if bag.is_whole else [
                *bag.damage, *(f'{count} skipped: {cause}' for cause, count in bag.skipped.items())]
        names = ' and '.join(self._topics)
        if not pairs:
            raise BagError(f'{path}: no images of {names} pair in time; a sensor profile needs both')
        self.description, self.found = f'{path.name}: {names}', len(pairs)
        self._chosen = [pairs[index] for index in evenly_spread(len(pairs), images)]

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[ImageBundle]:
        wanted = {(modality, time): index for index, pair in enumerate(self._chosen)
                  for modality, time in pair.received_ns.items()}
        incomplete: dict[int, dict[Modality, StampedImage]] = {}
        with BagReader(self._path) as bag:
            for recorded in bag.images(self._topics):
                index = wanted.get((recorded.modality, recorded.received_ns))
                if index is None:
                    continue
                images = incomplete.setdefault(index, {})
                try:
                    images[recorded.modality] = recorded.decode()
                except ImageError as error:
                    self._losses.append(f'{recorded.topic}: {error}')
                    continue  # the pair stays incomplete
                if len(images) == len(self._topics):
                    yield _bundle(incomplete.pop(index))
        for images in incomplete.values():
            if images:
                yield _bundle(images)


def open_references(source: str | Path, auxiliary: Modality, *, images: int, layout: str | None = None, split: str = '',
                    topics: Mapping[ImageContent, str | None] | None = None) -> References:
    """Open a bag or a folder.

    Args:
        images: how many pairs to read at most, evenly spread.
        layout: of a folder, see `open_dataset`.
        split: likewise.
        topics: of a bag, see `find_topics`.

    Raises:
        BagError: see `BagReferences`.
        DatasetError: the folder fits no layout.
    """
    path = Path(source)
    if path.is_file() or path.is_dir() and any(any(path.glob(pattern)) for pattern in _BAG_FILES):
        return BagReferences(path, auxiliary, images=images, topics=topics or {})
    dataset = open_dataset(str(source), split=split, layout=layout, auxiliary=auxiliary)
    return FolderReferences(dataset, path.name, images=images)


def _pairs(bag: BagReader, topics: Mapping[str, Modality]) -> Iterator[_Pair]:
    """The pairs of a bag in the order of time."""
    modalities = tuple(topics.values())
    synchroniser = Synchroniser(SynchroniserConfig(leader=modalities[0], modalities=modalities))
    for image in bag.headers(topics):
        last = None
        while (due_ns := synchroniser.next_deadline_ns()) is not None and last != due_ns <= image.received_ns:
            yield from _complete(synchroniser.poll(due_ns), modalities)
            last = due_ns
        header = StampedImage(image.modality, image.stamp_ns, image.received_ns, _NO_PIXELS, '')
        yield from _complete(synchroniser.push(header, now_ns=image.received_ns), modalities)


def _complete(bundles: list[ImageBundle], modalities: tuple[Modality, ...]) -> Iterator[_Pair]:
    for bundle in bundles:
        images = {modality: bundle.image(modality) for modality in modalities}
        received_ns = {modality: image.received_ns for modality, image in images.items() if image is not None}
        if len(received_ns) == len(modalities) > 1:
            yield _Pair(received_ns)


def _bundle(images: Mapping[Modality, StampedImage]) -> ImageBundle:
    slots = {modality: BundleSlot(Presence.PRESENT, image, 0.0, 0.0) for modality, image in images.items()}
    leader = Modality.RGB if Modality.RGB in slots else next(iter(slots))
    return ImageBundle(leader, slots, max(image.received_ns for image in images.values()))
