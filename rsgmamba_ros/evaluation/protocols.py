"""Protocols for sensor failure: which conditions a checkpoint is scored under.

Clean; a modality entirely missing (EMM), pixels randomly missing (RMM), noisy (NM): after Liao et al.,
arXiv 2503.18445; and the corruption families, on RGB only, on the auxiliary modality only, and on both.
"""
from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from zlib import crc32

import numpy as np

from rsgmamba_ros.data.corruptions import add_noise, corrupt, drop_pixels, FAMILIES, families_of, NOISE_LEVELS
from rsgmamba_ros.data.samples import Sample
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

MISSING_SHARES = (0.25, 0.5, 0.75)
#: Probabilities of losing a modality for the expected EMM.
LOSS_PROBABILITIES = (0.05, 0.1, 0.2)
SEVERITIES = (1, 2, 3, 4, 5)
#: Reliability that an image of severity 0 (clean) to 5 is taught, calibrated and scored to have. It falls faster than
#: linearly, because users act on a threshold: severity 3 is well below half of clean.
TARGET_OF_SEVERITY = (1.0, 0.7, 0.45, 0.25, 0.12, 0.03)


@dataclass(frozen=True)
class Condition:
    """What is done to every sample.

    Attributes:
        group: `clean`, `missing`, `random_missing`, `noisy` or `corruptions`.
        kind: family, level or share, for people.
        hit: the modalities that fail.
        severity: 1 to 5 for corruptions, else 0.
    """

    group: str
    kind: str = ''
    hit: tuple[Modality, ...] = ()
    severity: int = 0

    @property
    def name(self) -> str:
        """For tables and files: `corruptions/rgb/gaussian/3`."""
        parts = (self.group, '+'.join(map(str, self.hit)), self.kind, str(self.severity or ''))
        return '/'.join(part for part in parts if part)

    def apply(self, sample: Sample, auxiliary: Modality, *, seed: int, index: int) -> dict[Modality, np.ndarray]:
        """The images that are left, in sensor units, by modality; the same for the same seed and sample index."""
        values = {Modality.RGB: sample.rgb, auxiliary: sample.auxiliary}
        if self.group == 'missing':
            return {modality: image for modality, image in values.items() if modality not in self.hit}
        for modality in self.hit:
            rng = np.random.default_rng([seed, index, crc32(f'{self.kind}/{modality}/{self.severity}'.encode())])
            values[modality] = self._corrupt(values[modality], modality, sample, rng)
        return values

    def changes(self, sample: Sample, auxiliary: Modality, *, seed: int, index: int) -> bool:
        """Whether a corruption changes any image that it hits; True for the other groups."""
        if self.group != 'corruptions':
            return True
        given = {Modality.RGB: sample.rgb, auxiliary: sample.auxiliary}
        corrupted = self.apply(sample, auxiliary, seed=seed, index=index)
        return any(not np.array_equal(given[m], corrupted[m], equal_nan=m is not Modality.RGB) for m in self.hit)

    def _corrupt(self, image: np.ndarray, modality: Modality, sample: Sample, rng: np.random.Generator) -> np.ndarray:
        if self.group == 'noisy':
            return add_noise(image, self.kind, rng=rng)
        if self.group == 'random_missing':
            return drop_pixels(image, float(self.kind), rng=rng)[0]
        family = _family_for(self.kind, modality)
        previous = None
        if FAMILIES[family].needs_previous and sample.earlier is not None:
            previous = sample.earlier.rgb if modality is Modality.RGB else sample.earlier.auxiliary
        return corrupt(image, family, self.severity, rng=rng, previous=previous)[0]


def _family_for(kind: str, modality: Modality) -> str:
    """The family of a modality in `kind`, which is one name for both or `rgb_family+auxiliary_family`."""
    return next(name for name in kind.split('+') if modality in FAMILIES[name].modalities)


def clean_conditions(auxiliary: Modality) -> list[Condition]:
    """Nothing fails."""
    return [Condition('clean')]


def missing_conditions(auxiliary: Modality) -> list[Condition]:
    """A modality is entirely missing (EMM), or pixels of both are (RMM)."""
    both = (Modality.RGB, auxiliary)
    return [*(Condition('missing', hit=(modality,)) for modality in both),
            *(Condition('random_missing', str(share), both) for share in MISSING_SHARES)]


def noisy_conditions(auxiliary: Modality) -> list[Condition]:
    """Salt and pepper plus Gaussian noise on both (NM)."""
    return [Condition('noisy', level, (Modality.RGB, auxiliary)) for level in NOISE_LEVELS]


def corruption_conditions(auxiliary: Modality) -> list[Condition]:
    """Every family at every severity: on RGB, on the auxiliary modality, and pairs of families on both."""
    families = {modality: [name for name in families_of(modality) if name != 'missing']
                for modality in (Modality.RGB, auxiliary)}
    conditions = [Condition('corruptions', family, (modality,), severity)
                  for modality, names in families.items() for family in names for severity in SEVERITIES]
    # As many pairs as RGB has families; the shorter list of the other modality is gone through again and again.
    others = families[auxiliary]
    pairs = [(family, family if family in others else others[index % len(others)])
             for index, family in enumerate(families[Modality.RGB])]
    conditions += [Condition('corruptions', first if first == second else f'{first}+{second}',
                             (Modality.RGB, auxiliary), severity) for first, second in pairs for severity in SEVERITIES]
    return conditions


PROTOCOLS = {
    'clean': (clean_conditions,),
    'missing': (clean_conditions, missing_conditions),
    'noisy': (clean_conditions, noisy_conditions),
    'corruptions': (clean_conditions, corruption_conditions),
    'all': (clean_conditions, missing_conditions, noisy_conditions, corruption_conditions),
}


def conditions_of(protocol: str, auxiliary: Modality, *, severities: Collection[int] = SEVERITIES,
                  has_earlier: bool) -> list[Condition]:
    """The conditions of a protocol.

    Args:
        has_earlier: whether the samples know an earlier moment; without one the families that need it are left out.

    Raises:
        ConfigError: an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f'protocol {protocol!r} is unknown; expected one of {list(PROTOCOLS)}')
    conditions = [condition for group in PROTOCOLS[protocol] for condition in group(auxiliary)]
    possible = partial(_is_possible, has_earlier=has_earlier)
    return [condition for condition in conditions
            if condition.group != 'corruptions' or condition.severity in severities and possible(condition)]


def _is_possible(condition: Condition, *, has_earlier: bool) -> bool:
    return has_earlier or not any(FAMILIES[name].needs_previous for name in condition.kind.split('+'))
