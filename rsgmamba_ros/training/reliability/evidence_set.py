"""Evidence of many sensors, simulated and real, clean and corrupted: what a reliability head is fitted to.

Each sensor is one file of a folder, so a stopped run goes on with the next sensor. What a file holds depends on the
network's encoder: the folder belongs to one network.

N images of one sensor, F figures, H, W image.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from rsgmamba_ros.data.corruptions import corrupt
from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.data.sensors import draw_sensor_pair
from rsgmamba_ros.data.signature_failures import signature_name
from rsgmamba_ros.evaluation.protocols import TARGET_OF_SEVERITY
from rsgmamba_ros.network.reliability.profiled.head import ProfiledHead, QUESTIONS
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.pipeline.preprocessing import network_input
from rsgmamba_ros.training.reliability.head_fit import SensorEvidence
from rsgmamba_ros.training.samples.failures import training_families
from rsgmamba_ros.training.samples.real_sensors import RealSensors
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

#: Families that displace the images against each other: neither image alone is at fault, so both lose reliability.
DISPLACING = ('misalignment', 'lateral_shift')
#: Families that change all distances by a factor.
RESCALING = ('scale_error',)
#: Share of pixels without a measurement above which an image shows nothing.
MOST_HOLES = 0.97
#: Probabilities that a simulated sensor is the recording one, that its images are mirrored, and enlarged.
RECORDED, FLIPPED, ENLARGED = 0.125, 0.5, 0.5
LARGEST_ZOOM = 1.4
#: Families of each modality that corrupt a reference image and another one, each drawn anew.
FAMILIES_OF_REFERENCE, FAMILIES_OF_QUERY = 2, 3
#: Probability that the reference images of a simulated sensor are neighbours in the data set: of one place.
NEIGHBOURS = 0.7


@dataclass(frozen=True)
class EvidenceConfig:
    """Which sensors there are, and how many images of each.

    Attributes:
        simulated: number of simulated sensors, on the images of the training.
        references: clean images that a profile may be made of.
        queries: further clean images.
        real: real sensors.
    """

    simulated: int = 160
    references: int = 20
    queries: int = 14
    real: tuple[RealSensors, ...] = field(default_factory=tuple)


def collect_evidence(network: RSGMamba, dataset: Dataset, preprocessing: PreprocessingConfig, config: EvidenceConfig,
                     folder: Path, *, seed: int) -> list[SensorEvidence]:
    """Compute, or read where it was computed before, the evidence of every sensor.

    Args:
        network: with a `ProfiledHead`; its encoder gives the features.
        dataset: of the training; simulated sensors look at its images.
        folder: for the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    observer = _Observer(network, preprocessing)
    sensors = []
    for index in tqdm(range(config.simulated), desc='simulated sensors', unit='sensor'):
        path = folder / f'simulated_{index:04d}.npz'
        if not path.exists():
            _write(path, _simulated(observer, dataset, config, np.random.default_rng([seed, index])))
        sensors.append(_read(path, weight=1.0))
    for group in config.real:
        for index, name in enumerate(tqdm(group.names, desc='real sensors', unit='sensor')):
            path = folder / f'real_{name}.npz'
            if not path.exists():
                _write(path, _real(observer, group, name, np.random.default_rng([seed, 1_000_000 + index])))
            sensors += group.repeats * [_read(path, weight=group.weight)]
    return sensors


@dataclass(eq=False)
class _Items:
    """Figures of images, and what was done to them; see `SensorEvidence`."""

    figures: list[np.ndarray] = field(default_factory=list)
    target: list[float] = field(default_factory=list)
    question: list[int] = field(default_factory=list)
    reference: list[bool] = field(default_factory=list)
    image: list[int] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)

    def add(self, figures: np.ndarray, *, image: int, target: float = 1.0, question: int = -1, reference: bool = False,
            signature: str = '') -> None:
        self.figures.append(figures)
        self.target.append(target)
        self.question.append(question)
        self.reference.append(reference)
        self.image.append(image)
        self.signature.append(signature)


class _Observer:
    """Image pairs in sensor units -> figures."""

    def __init__(self, network: RSGMamba, preprocessing: PreprocessingConfig):
        assert isinstance(network.reliability_head, ProfiledHead)
        self.network, self.head, self.preprocessing = network, network.reliability_head, preprocessing
        self.axis = network.axis
        self.device = next(network.parameters()).device

        self._last: dict[Modality, tuple[np.ndarray, torch.Tensor, list[torch.Tensor]]] = {}

    @torch.inference_mode()
    def __call__(self, rgb: np.ndarray, auxiliary: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 and (H, W) float32 -> (F,) float32."""
        seen = {modality: self._encoded(values, modality) for modality, values in zip(self.axis, (rgb, auxiliary))}
        return self.head.figures({modality: image for modality, (image, _) in seen.items()},
                                 {modality: features for modality, (_, features) in seen.items()}
                                 )[0].float().cpu().numpy()

    def _encoded(self, values: np.ndarray, modality: Modality) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Network input and features. Of a pair one image fails: the other one, the same array, is encoded once."""
        last = self._last.get(modality)
        if last is not None and last[0] is values:
            return last[1:]
        preprocessing = self.preprocessing.for_image(*values.shape[:2])
        image = torch.from_numpy(network_input(values, modality, preprocessing))[None].to(self.device)
        self._last[modality] = (values, image, self.network.encoder(image, modality))
        return self._last[modality][1:]


def _simulated(observer: _Observer, dataset: Dataset, config: EvidenceConfig, rng: np.random.Generator) -> _Items:
    """One simulated sensor: references, and queries clean and corrupted."""
    pair = None if rng.random() < RECORDED else draw_sensor_pair(dataset.auxiliary, rng)
    flip = rng.random() < FLIPPED
    zoom = float(np.exp(rng.uniform(0, np.log(LARGEST_ZOOM)))) if rng.random() < ENLARGED else 1.0
    count = min(config.references, len(dataset) // 2)
    start = int(rng.integers(len(dataset) - count + 1))
    references = np.arange(start, start + count) if rng.random() < NEIGHBOURS \
        else rng.choice(len(dataset), count, replace=False)
    others = np.setdiff1d(np.arange(len(dataset)), references)
    queries = rng.choice(others, min(config.queries, len(others)), replace=False)
    items = _Items()
    for index, is_reference in [*((i, True) for i in references), *((i, False) for i in queries)]:
        sample = dataset[int(index)]
        rgb, auxiliary = (_viewed(image, flip, zoom) for image in (sample.rgb, sample.auxiliary))
        if pair is not None:
            rgb, auxiliary = pair.apply(rgb, auxiliary, rng=rng)
        _observe(items, observer, rgb, auxiliary, rng, image=int(index), reference=is_reference,
                 families=FAMILIES_OF_REFERENCE if is_reference else FAMILIES_OF_QUERY)
    return items


def _real(observer: _Observer, group: RealSensors, name: str, rng: np.random.Generator) -> _Items:
    """One real sensor: every image clean, and once with each family of the training."""
    images = group.images(name)
    items = _Items()
    for index in images.indices:
        sample = images.dataset[index]
        _observe(items, observer, sample.rgb, sample.auxiliary, rng, image=index, reference=True, families=None)
    return items


def _observe(items: _Items, observer: _Observer, rgb: np.ndarray, auxiliary: np.ndarray, rng: np.random.Generator, *,
             image: int, reference: bool, families: int | None) -> None:
    """Add one clean pair, and corrupted ones of so many families of each modality; None for all."""
    if np.isnan(auxiliary).mean() > MOST_HOLES:
        return
    items.add(observer(rgb, auxiliary), image=image, reference=reference)
    for modality in observer.axis:
        known = training_families(modality, has_earlier=False)
        for family in known if families is None else rng.permutation(known)[:families]:
            severity = int(rng.integers(1, 6))
            pair = _corrupted(rgb, auxiliary, modality, family, severity, rng)
            if pair is not None:
                items.add(observer(*pair), image=image, target=TARGET_OF_SEVERITY[severity],
                          question=QUESTIONS.index(question_of(family, modality)),
                          signature=signature_name(family, modality, auxiliary, pair[1]))


def question_of(family: str, modality: Modality) -> str:
    """The one of `QUESTIONS` that a corruption of an image of this modality concerns."""
    if family in DISPLACING:
        return 'alignment'
    if family in RESCALING:
        return 'scale'
    return 'rgb' if modality is Modality.RGB else 'auxiliary'


def _corrupted(rgb: np.ndarray, auxiliary: np.ndarray, modality: Modality, family: str, severity: int,
               rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """A pair with one image corrupted; None where the family changes nothing or leaves nothing."""
    is_rgb = modality is Modality.RGB
    given = rgb if is_rgb else auxiliary
    image, _ = corrupt(given, family, severity, rng=rng)
    if np.array_equal(image, given, equal_nan=not is_rgb) or (not is_rgb and np.isnan(image).mean() > MOST_HOLES):
        return None
    return (image, auxiliary) if is_rgb else (rgb, image)


def _viewed(image: np.ndarray, flip: bool, zoom: float) -> np.ndarray:
    """Mirrored, and its middle enlarged by repeating pixels' neighbours, (H, W, ...) -> the same shape."""
    height, width = image.shape[:2]
    if zoom > 1:
        rows = ((np.arange(height) - (height - 1) / 2) / zoom + (height - 1) / 2).round().astype(int)
        columns = ((np.arange(width) - (width - 1) / 2) / zoom + (width - 1) / 2).round().astype(int)
        image = image[rows][:, columns]
    return np.ascontiguousarray(image[:, ::-1] if flip else image)


def _write(path: Path, items: _Items) -> None:
    unfinished = path.with_suffix('.unfinished')
    with unfinished.open('wb') as stream:
        np.savez(stream, figures=np.stack(items.figures), target=np.array(items.target, np.float32),
                 question=np.array(items.question), reference=np.array(items.reference),
                 image=np.array(items.image), signature=np.array(items.signature))
    unfinished.replace(path)


def _read(path: Path, *, weight: float) -> SensorEvidence:
    with np.load(path) as stored:
        return SensorEvidence(path.stem, stored['figures'], stored['target'], stored['question'],
                              stored['reference'], stored['image'], stored['signature'], weight)
