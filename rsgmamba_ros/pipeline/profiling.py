"""Reference images of one sensor -> its profile; references that no healthy sensor gives are refused with the reason.

Images go the way of every bundle: sensor units, network input, encoder, and then the evidence of the reliability head
instead of its estimate. Failures are inflicted on them, and
what these change is kept, too. Statistics stay, no images.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from zlib import crc32

import numpy as np

from rsgmamba_ros.pipeline.monitoring.registration import edge_landscape, RegistrationMonitor
from rsgmamba_ros.pipeline.preprocessing import sensor_units
from rsgmamba_ros.vocabulary.errors import ImageError, ProfileError
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig
from rsgmamba_ros.vocabulary.sensor_profile import FEWEST_IMAGES, SensorProfile, Signature

#: Reference images that are asked for; more add little, see docs/results.md.
REFERENCE_IMAGES = 20
#: Share of the images that may be implausible and are left out. With more the sensor itself is not healthy.
TOLERATED_SHARE = 0.2
#: Mean brightness of RGB, 0..255, below which the camera is covered or the room dark: the darkest image of 23 healthy
#: sensors has 13, a covered lens 0 to 5.
DARK = 8.0
#: Spread of RGB between its 5th and 95th percentile, 0..255, below which nothing is seen: the flattest healthy
#: image has 43.
FLAT = 12.0
#: Share of clipped pixels (250 and more; thermal: at one extreme value) that no auto-exposure leaves: healthy
#: images have up to 0.33.
SATURATED = 0.7
#: Share of depth pixels with a measurement: healthy stereo cameras go down to 0.27 before dark or shiny objects.
VALID_DEPTH = 0.1
#: Spread of depth between its 5th and 95th percentile, metres: a plate seen from above still has 0.015.
FLAT_DEPTH_M = 0.001


#: Inflicts failures on a healthy pair in sensor units, given the number of the pair: names, and the pairs after them.
Inflict = Callable[[Mapping[Modality, np.ndarray], int], Iterable[tuple[str, Mapping[Modality, np.ndarray]]]]


class FigureSource(Protocol):
    """What a profile maker needs of a `Segmenter`."""

    modalities: tuple[Modality, Modality]
    preprocessing: PreprocessingConfig

    def figures(self, values: Mapping[Modality, np.ndarray]) -> np.ndarray:
        """See `Segmenter.figures`."""


@dataclass(frozen=True, eq=False)
class Reference:
    """What a profile maker keeps of one bundle.

    Attributes:
        faults: why it is left out; empty if it is not.
        digests: of each readable image: equal images have equal ones.
        figures: (F,) float32; None if it is left out.
        landscape: see `edge_landscape`; None for thermal, and where there are few edges.
        values: both images in sensor units; empty if it is left out.
    """

    faults: tuple[str, ...]
    digests: Mapping[Modality, int]
    figures: np.ndarray | None = None
    landscape: np.ndarray | None = None
    values: Mapping[Modality, np.ndarray] = field(default_factory=dict)


class ProfileMaker:
    """Collects what reference images show, and makes the profile. Not thread-safe, but for `read`.

    Args:
        source: gives the figures.
        inflict: fails the images, for the signatures of the failures.

    Attributes:
        offered: how many bundles were offered.
        faults: why bundles were left out, counted.
    """

    def __init__(self, source: FigureSource, inflict: Inflict):
        self._source, self._inflict = source, inflict
        self._figures: list[np.ndarray] = []
        self._changes: dict[str, list[np.ndarray]] = {}
        self._last: dict[Modality, int] = {}
        self._registration = RegistrationMonitor()
        self.offered = 0
        self.faults: Counter[str] = Counter()

    @property
    def images(self) -> int:
        """How many plausible pairs there are so far."""
        return len(self._figures)

    def add(self, bundle: ImageBundle) -> None:
        """Take one bundle; one without both images, or with an implausible one, is counted and left out.

        Raises:
            ProfileError: the network takes no profile.
        """
        reference, number = self.read(bundle), self.images
        self.take(reference)
        if self.images > number:
            for name, change in self.changes(reference, number):
                self.take_change(name, change)

    def read(self, bundle: ImageBundle) -> Reference:
        """Look at one bundle, which takes about as long as segmenting it; nothing is kept.

        Raises:
            ProfileError: the network takes no profile.
        """
        values, faults = self._values(bundle)
        digests = {modality: crc32(np.ascontiguousarray(image).data.cast('B')) for modality, image in values.items()}
        faults += implausible(values)
        if faults:
            return Reference(tuple(faults), digests)
        landscape = edge_landscape(values[Modality.RGB], values[Modality.DEPTH]) if Modality.DEPTH in values else None
        return Reference((), digests, self._source.figures(values), landscape, values)

    def changes(self, reference: Reference, number: int) -> Iterator[tuple[str, np.ndarray]]:
        """Inflict failures on a reference; each step takes about as long as `read`, and nothing is kept.

        Args:
            number: of the reference; it picks the failures.

        Yields:
            The failure's name, and the change of the figures, (F,) float32.
        """
        if reference.figures is not None:
            for name, failed in self._inflict(reference.values, number):
                yield name, self._source.figures(failed) - reference.figures

    def take(self, reference: Reference) -> None:
        """Keep what was read of a bundle."""
        self.offered += 1
        frozen = [f'{modality} is frozen: the same image again' for modality, digest in reference.digests.items()
                  if self._last.get(modality) == digest]
        self._last.update(reference.digests)
        self.faults.update([*frozen, *reference.faults])
        if frozen or reference.figures is None:
            return
        self._figures.append(reference.figures)
        if reference.landscape is not None:
            self._registration.add(reference.landscape)

    def take_change(self, name: str, change: np.ndarray) -> None:
        """Keep what one failure changed."""
        self._changes.setdefault(name, []).append(change)

    def make(self, source: str) -> SensorProfile:
        """Make the profile.

        Args:
            source: what the images were taken from, for people.

        Raises:
            ProfileError: the images are too few, or no healthy sensor gives them; the message says why.
        """
        left_out = self.offered - self.images
        reasons = '; '.join(f'{fault} ({count} of {self.offered} images)'
                            for fault, count in self.faults.most_common(3))
        if left_out > TOLERATED_SHARE * self.offered:
            raise ProfileError(f'these are no images of healthy sensors: {reasons}. Show both cameras a usual scene')
        if self.images < FEWEST_IMAGES:
            raise ProfileError(f'{self.images} image pairs are too few for a sensor profile; give at least '
                               f'{FEWEST_IMAGES}, better {REFERENCE_IMAGES}' + (f': {reasons}' if reasons else ''))
        if self._registration.problem:
            raise ProfileError(f'the depth is not registered to the colour: {self._registration.problem}. Register it '
                               '(align_depth of the driver, or depth_image_proc)')
        figures = np.stack(self._figures).astype(np.float64)
        return SensorProfile(self._source.modalities[1], self.images, figures.mean(axis=0).astype(np.float32),
                             figures.std(axis=0, ddof=1).astype(np.float32), source,
                             {name: Signature(np.mean(changes, axis=0), len(changes))
                              for name, changes in self._changes.items()})

    def _values(self, bundle: ImageBundle) -> tuple[dict[Modality, np.ndarray], list[str]]:
        """The readable images in sensor units, and why the others are not."""
        values: dict[Modality, np.ndarray] = {}
        faults = []
        for modality in self._source.modalities:
            image = bundle.image(modality)
            if image is None:
                faults.append(f'no {modality} image came')
                continue
            try:
                values[modality] = sensor_units(image, self._source.preprocessing)
            except ImageError as error:
                faults.append(str(error))
        return values, faults


def implausible(values: Mapping[Modality, np.ndarray]) -> list[str]:
    """Why images cannot be those of healthy sensors; empty if they can.

    Args:
        values: as `sensor_units` gives them: (H, W, 3) uint8 or (H, W) float32.
    """
    return [f'{modality} {fault}' for modality, image in values.items() for fault in _CHECKS[modality](image)]


def _rgb_faults(rgb: np.ndarray) -> list[str]:
    """Of (H, W, 3) uint8."""
    brightest = rgb[::4, ::4].max(axis=2)
    low, high = np.percentile(brightest, (5, 95))
    if rgb[::4, ::4].mean() < DARK:
        return ['is covered or dark']
    if (brightest >= 250).mean() > SATURATED:
        return ['is saturated']
    return ['is covered: it shows no structure'] if high - low < FLAT else []


def _depth_faults(metres: np.ndarray) -> list[str]:
    """Of (H, W) float32, NaN where there is no measurement."""
    measured = metres[np.isfinite(metres)]
    if measured.size < VALID_DEPTH * metres.size:
        return ['is covered or dead: it measures almost nothing']
    low, high = np.percentile(measured[::7], (5, 95))
    return ['is covered or dead: it shows one distance'] if high - low < FLAT_DEPTH_M else []


def _thermal_faults(values: np.ndarray) -> list[str]:
    """Of (H, W) float32 in the thermal unit, NaN where there is no measurement."""
    measured = values[np.isfinite(values)]
    if measured.size < VALID_DEPTH * values.size or measured.min() == measured.max():
        return ['is covered or dead: it shows one value']
    clipped = max((measured == measured.max()).mean(), (measured == measured.min()).mean())
    return ['is saturated'] if clipped > SATURATED else []


_CHECKS = {Modality.RGB: _rgb_faults, Modality.DEPTH: _depth_faults, Modality.THERMAL: _thermal_faults}


def evenly_spread(count: int, wanted: int) -> list[int]:
    """Indices of at most `wanted` of `count` items, from the first to the last."""
    return sorted(set(np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()))
