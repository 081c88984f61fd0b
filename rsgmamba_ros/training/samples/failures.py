"""Failures that training inflicts on a sample, and the reliability that is then taught for each modality."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsgmamba_ros.data.corruptions import corrupt, FAMILIES
from rsgmamba_ros.data.samples import Sample
from rsgmamba_ros.evaluation.protocols import TARGET_OF_SEVERITY
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

#: Severity of an image that is as late as `Sample.earlier`: about 10 to 30 images.
EARLIER_SEVERITY = 3


@dataclass(frozen=True)
class FailureConfig:
    """How often training fails which sensor. Held-out families are never used.

    Attributes:
        missing: probability that one modality is missing; both are equally likely, one is always there.
        corrupted: probability that the sample is corrupted.
        both: probability that a corrupted sample has both modalities corrupted.
        alone: how many times, 0 to 2, each sample is also segmented from one modality alone: the one that did not fail
            if the other did; else a random one, and at 2 each. Its images are encoded already, so this costs less than
            a sample that lacks a modality.
    """

    missing: float = 0.25
    corrupted: float = 0.6
    both: float = 0.2
    alone: int = 0

    def __post_init__(self) -> None:
        for name in ('missing', 'corrupted', 'both'):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f'{name} is {getattr(self, name)}; a probability lies in 0..1')
        if self.alone not in (0, 1, 2):
            raise ConfigError(f'alone is {self.alone}; a sample is segmented 0, 1 or 2 more times')

    @property
    def clean_share(self) -> float:
        """The share of a modality's images that are not corrupted; kept off 0 and 1."""
        share = 1 - self.corrupted * (self.both + (1 - self.both) / 2)
        return min(max(share, 0.05), 0.95)


@dataclass(frozen=True, eq=False)
class FailedSample:
    """A sample after its failures.

    Attributes:
        values: images in sensor units by modality.
        available: by modality; False for a missing one.
        reliability: what is taught for each modality, 0..1.
        reliability_map: the same for each pixel, (H, W) float32.
    """

    values: dict[Modality, np.ndarray]
    available: dict[Modality, bool]
    reliability: dict[Modality, float]
    reliability_map: dict[Modality, np.ndarray]


def inflict(sample: Sample, auxiliary: Modality, config: FailureConfig, *, rng: np.random.Generator) -> FailedSample:
    """Draw failures for one sample and inflict them."""
    modalities = (Modality.RGB, auxiliary)
    values = {Modality.RGB: sample.rgb, auxiliary: sample.auxiliary}
    available = {modality: True for modality in modalities}
    if rng.random() < config.missing:
        available[modalities[rng.integers(2)]] = False
    corrupted = _draw_corrupted(modalities, config, rng)
    reliability = {modality: 1.0 for modality in modalities}
    maps = {modality: np.ones(sample.label_map.shape, np.float32) for modality in modalities}
    for modality in corrupted:
        if available[modality]:
            values[modality], reliability[modality], maps[modality] = _corrupted(sample, modality, rng)
    return FailedSample(values, available, reliability, maps)


def _draw_corrupted(modalities: tuple[Modality, ...], config: FailureConfig,
                    rng: np.random.Generator) -> tuple[Modality, ...]:
    if rng.random() >= config.corrupted:
        return ()
    if rng.random() < config.both:
        return modalities
    return (modalities[rng.integers(2)],)


def _corrupted(sample: Sample, modality: Modality, rng: np.random.Generator) -> tuple[np.ndarray, float, np.ndarray]:
    families = training_families(modality, has_earlier=sample.earlier is not None)
    family = families[rng.integers(len(families))]
    severity = EARLIER_SEVERITY if FAMILIES[family].needs_previous else int(rng.integers(1, 6))
    image = sample.rgb if modality is Modality.RGB else sample.auxiliary
    previous = None
    if sample.earlier is not None:
        previous = sample.earlier.rgb if modality is Modality.RGB else sample.earlier.auxiliary
    corrupted, affected = corrupt(image, family, severity, rng=rng, previous=previous)
    # A range cut-off beyond the farthest wall removes nothing.
    target = 1.0 if affected is not None and not affected.any() else TARGET_OF_SEVERITY[severity]
    # Where a failure is local, the rest of the image is as good as before.
    shape = sample.label_map.shape
    target_map = np.full(shape, target, np.float32) if affected is None else np.where(affected, target, 1)
    return corrupted, target, target_map.astype(np.float32)


def training_families(modality: Modality, *, has_earlier: bool) -> list[str]:
    """Names of the families that may corrupt a modality in training, sorted.

    A missing image is not corrupted but unavailable, and in one moment a frozen image is a late one.
    """
    return sorted(name for name, family in FAMILIES.items()
                  if modality in family.modalities and not family.held_out and name not in ('missing', 'frozen')
                  and (has_earlier or not family.needs_previous))
