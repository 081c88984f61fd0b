"""A bag -> a dataset folder: some image pairs with the network's labels, to correct by hand and to train on.

The folder has a layout file of its own, so that evaluation and training read it. Labels are PNG files with a palette
in the arrangement of CVAT's "Segmentation mask" (PASCAL VOC): `SegmentationClass/`, `labelmap.txt`, `ImageSets/`.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
import json
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import yaml

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.topics import find_topics, NONE
from rsgmamba_ros.data.messages.images import ImageContent, LABELS
from rsgmamba_ros.data.palette_images import encode_label_image
from rsgmamba_ros.pipeline.node_settings import NodeSettings
from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser
from rsgmamba_ros.replay.offline import BundleSegmenter, Observer, OfflineReplay, ReplayedBundle
from rsgmamba_ros.vocabulary.depth import depth_in_millimetres
from rsgmamba_ros.vocabulary.errors import ConfigError, ImageError
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality, StampedImage
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import ThermalScaling
from rsgmamba_ros.vocabulary.segmentation import Segmentation

if TYPE_CHECKING:
    from rsgmamba_ros.pipeline.segmenter import Segmenter

#: Bundles of a period that are segmented where the least reliable or confident one is wanted.
_CANDIDATES = 5
#: Mean difference of two small pictures, 0..1, below which they show the same.
_NEW = 0.06
_LABELS, _LIST = 'SegmentationClass', 'ImageSets/Segmentation/default.txt'


@dataclass(frozen=True)
class Choice:
    """Which bundles are wanted.

    Attributes:
        candidates: bundles that are segmented in each period.
        score: of a result; the lowest of a period is taken.
        below: only if it is lower than this.
        new_only: only if it looks different from all that were taken before.
    """

    candidates: int = 1
    score: Callable[[Segmentation], float] = lambda segmentation: 0.0
    below: float = 1.0
    new_only: bool = False


def _reliability(segmentation: Segmentation) -> float:
    return min(state.reliability for state in segmentation.reliability.values())


def _confidence(segmentation: Segmentation) -> float:
    return float(segmentation.confidence.mean()) / 255


#: By the value of `--only`; the first one is for none.
CHOICES = {'': Choice(), 'unreliable': Choice(_CANDIDATES, _reliability, 0.5),
           'low-confidence': Choice(_CANDIDATES, _confidence, 0.7), 'diverse': Choice(new_only=True)}


@dataclass(frozen=True)
class Extracted:
    """What came of a bag.

    Attributes:
        count: image pairs that were written.
        warnings: what is wrong with the bag and its images, a sentence each.
        is_whole: whether everything was read.
    """

    count: int
    warnings: list[str]
    is_whole: bool


class CandidateSegmenter:
    """Segments a few bundles of each period and leaves out the others: a network is slow, and a bag is long."""

    def __init__(self, segmenter: BundleSegmenter, *, every_s: float, candidates: int, start_ns: int):
        self._segmenter = segmenter
        self._period_ns = every_s * 1e9 / candidates
        self._start_ns = start_ns
        self._last = -1

    def segment(self, bundle: ImageBundle) -> Segmentation:
        """Segment a bundle.

        Raises:
            ImageError: it is left out, or has no usable image.
        """
        number = int((bundle.leading_image.received_ns - self._start_ns) // self._period_ns)
        if number == self._last or any(slot.image is None for slot in bundle.slots.values()):
            raise ImageError('left out')
        self._last = number
        return self._segmenter.segment(bundle)


class Extraction(Observer):
    """Writes the chosen bundles into a folder; `close` ends it.

    Attributes:
        written: how many samples were written.

    Args:
        out: a folder that does not exist or is empty.
        thermal: how thermal values become the network's unit, for the layout.

    Raises:
        ConfigError: the folder has content.
    """

    def __init__(self, out: Path, labels: LabelSpace, auxiliary: Modality, *, every_s: float, choice: Choice,
                 thermal: ThermalScaling):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f'{out} has content; name a folder that is new or empty')
        self._out, self._labels, self._auxiliary, self._thermal = out, labels, auxiliary, thermal
        self._every_s, self._choice = every_s, choice
        self._period = -1
        self._best: tuple[float, ReplayedBundle] | None = None
        self._pictures: list[np.ndarray] = []
        self._names: list[str] = []

    @property
    def written(self) -> int:
        """How many samples were written."""
        return len(self._names)

    def segmented(self, result: ReplayedBundle) -> None:
        """Take a result as a candidate of its period."""
        if result.segmentation is None:
            return
        period = int(result.time_s // self._every_s)
        if period != self._period:
            self._finish_period()
            self._period = period
        score = self._choice.score(result.segmentation)
        if score < self._choice.below and (self._best is None or score < self._best[0]):
            self._best = score, result

    def close(self) -> None:
        """Write the last sample, the list and the layout.

        Raises:
            ConfigError: nothing was chosen.
        """
        self._finish_period()
        if not self._names:
            raise ConfigError('no pair of images was chosen; see --every and --only')
        path = self._out / _LIST
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(self._names) + '\n', encoding='utf-8')
        colours = [f'{name}:{",".join(map(str, colour))}::' for name, colour in
                   zip(self._labels.names, self._labels.palette)]
        (self._out / 'labelmap.txt').write_text('\n'.join(['# label:color_rgb:parts:actions', *colours]) + '\n',
                                                encoding='utf-8')
        (self._out / 'layout.yaml').write_text(yaml.safe_dump(self._layout(), sort_keys=False), encoding='utf-8')

    def _layout(self) -> dict[str, object]:
        thermal = asdict(self._thermal) | {'stretch': self._thermal.stretch.value}
        scaling = {'thermal': thermal} if self._auxiliary is Modality.THERMAL else {}
        auxiliary = str(self._auxiliary)
        return {'auxiliary': auxiliary, 'rgb': 'rgb/{name}', 'auxiliary_image': f'{auxiliary}/{{name}}',
                'label': f'{_LABELS}/{{name}}', 'sizes_differ': True, 'splits': {'all': {'list': _LIST}},
                'default_split': 'all', **scaling,
                'labels': {'names': list(self._labels.names), 'palette': [list(c) for c in self._labels.palette],
                           'ignore_index': self._labels.ignore_index},
                'note': 'Labels are those of a network until somebody has corrected them.'}

    def _finish_period(self) -> None:
        best, self._best = self._best, None
        if best is not None and (not self._choice.new_only or self._is_new(best[1].bundle.leading_image)):
            self._write(best[1])

    def _is_new(self, image: StampedImage) -> bool:
        picture = cv2.resize(image.pixels, (16, 12), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        if any(np.abs(picture - earlier).mean() < _NEW for earlier in self._pictures if earlier.shape == picture.shape):
            return False
        self._pictures.append(picture)
        return True

    def _write(self, result: ReplayedBundle) -> None:
        rgb, auxiliary = result.bundle.image(Modality.RGB), result.bundle.image(self._auxiliary)
        segmentation = result.segmentation
        assert rgb is not None and auxiliary is not None and segmentation is not None  # see `CandidateSegmenter`
        name = f'{result.bundle.stamp_ns:019d}'
        self._save(f'rgb/{name}.png', cv2.imencode('.png', cv2.cvtColor(rgb.pixels, cv2.COLOR_RGB2BGR))[1].tobytes())
        self._save(f'{self._auxiliary}/{name}', *_encoded(auxiliary))
        self._save(f'{_LABELS}/{name}.png', encode_label_image(segmentation.label_map, self._labels))
        figures = {'name': name, 'time_s': round(result.time_s, 3), 'confidence': round(_confidence(segmentation), 4),
                   'reliability': {str(modality): round(state.reliability, 4)
                                   for modality, state in segmentation.reliability.items()}}
        with (self._out / 'samples.jsonl').open('a', encoding='utf-8') as file:
            file.write(json.dumps(figures) + '\n')
        self._names.append(name)

    def _save(self, name: str, content: bytes, ending: str = '') -> None:
        path = self._out / f'{name}{ending}'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def extract(bag: BagReader, out: Path, segmenter: Segmenter, settings: NodeSettings, *, every_s: float, only: str = '',
            topics: Mapping[ImageContent, str | None] | None = None,
            on_progress: Callable[[int], object] = lambda messages: None) -> Extracted:
    """Go through a bag and write the chosen image pairs with the network's labels.

    Args:
        out: a folder that does not exist or is empty.
        every_s: at most one pair is taken in this time, seconds.
        only: a key of `CHOICES`.
        topics: named topics, see `find_topics`.
        on_progress: told how many messages have been read since it was last told.

    Returns:
        What came of it.

    Raises:
        RSGMambaError: the options, the bag or its topics cannot be used, or nothing was chosen.
    """
    if every_s <= 0:
        raise ConfigError(f'--every is {every_s:g}; it must be above 0 seconds')
    found = find_topics(bag, auxiliary=segmenter.auxiliary, named={**(topics or {}), LABELS: NONE})
    choice = CHOICES[only]
    extraction = Extraction(out, segmenter.labels, segmenter.auxiliary, every_s=every_s, choice=choice,
                            thermal=segmenter.preprocessing.thermal)
    candidates = CandidateSegmenter(segmenter, every_s=every_s, candidates=choice.candidates, start_ns=bag.start_ns)
    synchroniser = Synchroniser(settings.synchroniser((Modality.RGB, segmenter.auxiliary)))
    replay = OfflineReplay(bag, found, synchroniser=synchroniser, segmenter=candidates, observers=[extraction])
    replay.run(on_progress=on_progress)
    extraction.close()
    lost = [*bag.damage, *(f'{count} skipped: {cause}' for cause, count in replay.skipped.items())]
    return Extracted(extraction.written, lost, is_whole=bag.is_whole and not replay.skipped)


def _encoded(image: StampedImage) -> tuple[bytes, str]:
    """The file of an auxiliary image, and its ending: depth in millimetres, thermal as it was recorded."""
    pixels = image.pixels
    if image.modality is Modality.DEPTH and pixels.dtype.kind == 'f':
        pixels = depth_in_millimetres(np.where(np.isfinite(pixels) & (pixels > 0), pixels, np.nan))
    ending = '.tiff' if pixels.dtype.kind == 'f' else '.png'
    return cv2.imencode(ending, pixels)[1].tobytes(), ending
