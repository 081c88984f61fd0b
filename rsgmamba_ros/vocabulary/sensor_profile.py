"""A sensor profile: what the healthy images of one pair of cameras look like. Statistics, no images; some 30 kB.

It is measured on a small set of clean reference images and tells a reliability head what is normal for this sensor. The
file is YAML: facts that people can read, and the statistics as numbers of half precision, compressed, in base64.

F figures: the entries of the evidence, in the order of `network.reliability.profiled.evidence`.
"""
from __future__ import annotations

from base64 import b64decode, b64encode
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
import zlib

import numpy as np
import yaml

from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality

VERSION = 2
#: Files have some 30 kB; a larger one is no profile.
LARGEST_FILE_BYTES = 1_000_000
#: Fewer reference images tell too little of how much images of one sensor differ.
FEWEST_IMAGES = 5
#: More than any reference has; a larger number is damage, and would overflow the arithmetic of an estimator.
MOST_IMAGES = 1_000_000
#: More than there are failures that a profile is made with.
MOST_SIGNATURES = 100

#: What a file must hold, checked before anything is done with it: nested YAML aliases grow without limit when printed.
_KINDS = {'auxiliary': str, 'images': int, 'source': str, 'mean': str, 'deviation': str,
          'signatures': dict}


@dataclass(frozen=True, eq=False)
class Signature:
    """What one failure does to the figures of a sensor.

    Attributes:
        change: mean change of every figure, (F,) float32.
        images: how many images it was inflicted on.
    """

    change: np.ndarray
    images: int


@dataclass(frozen=True, eq=False)
class SensorProfile:
    """Statistics of the evidence of reference images.

    Attributes:
        auxiliary: modality of the camera beside RGB.
        images: how many reference image pairs there were.
        mean: of every figure, (F,) float32.
        deviation: standard deviation of every figure over the images, (F,) float32, 0 or more.
        source: what the images were taken from, for people.
        signatures: of failures that were inflicted on these images, by name.
    """

    auxiliary: Modality
    images: int
    mean: np.ndarray
    deviation: np.ndarray
    source: str = ''
    signatures: Mapping[str, Signature] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.auxiliary not in AUXILIARY_MODALITIES:
            raise ProfileError(f'auxiliary is {self.auxiliary}; a profile is of a depth or a thermal camera beside RGB')
        if self.images < FEWEST_IMAGES:
            raise ProfileError(f'{self.images} reference images are too few; give at least {FEWEST_IMAGES}, better 20')
        if self.images > MOST_IMAGES:
            raise ProfileError(f'a profile of more than {MOST_IMAGES} reference images is damaged')
        if self.mean.ndim != 1 or self.mean.shape != self.deviation.shape:
            raise ProfileError(f'mean has shape {self.mean.shape} and deviation {self.deviation.shape}; expected two '
                               'vectors of the same length')
        if not (np.isfinite(self.mean).all() and np.isfinite(self.deviation).all() and (self.deviation >= 0).all()):
            raise ProfileError('mean and deviation must be finite, and no deviation negative')
        for name, signature in self.signatures.items():
            if signature.change.shape != self.mean.shape or not np.isfinite(signature.change).all() \
                    or not 1 <= signature.images <= MOST_IMAGES:
                raise ProfileError(f'the signature {name!r} is damaged: expected {len(self.mean)} finite numbers and '
                                   'the number of its images')


def save_profile(path: str | Path, profile: SensorProfile) -> None:
    """Write a profile; an older file is replaced only when the new one is whole.

    Raises:
        ProfileError: the file cannot be written, or a figure is beyond the range of half precision.
    """
    path = Path(path)
    changes = [signature.change for signature in profile.signatures.values()]
    largest = max((float(np.abs(values).max()) for values in (profile.mean, profile.deviation, *changes)
                   if values.size), default=0.0)
    if largest > float(np.finfo(np.float16).max):
        raise ProfileError(f'the sensor profile has a figure of {largest:g}, more than half precision holds')
    content = {'version': VERSION, 'auxiliary': profile.auxiliary.value, 'images': profile.images,
               'source': profile.source, 'mean': _encoded(profile.mean), 'deviation': _encoded(profile.deviation),
               'signatures': {name: {'images': signature.images, 'change': _encoded(signature.change)}
                              for name, signature in profile.signatures.items()}}
    unfinished = path.with_name(path.name + '.unfinished')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text('# Sensor profile of rsgmamba_ros; made by `rsgmamba profile`.\n'
                              + yaml.safe_dump(content, sort_keys=False, width=120), encoding='utf-8')
        unfinished.replace(path)
    except OSError as error:
        raise ProfileError(f'cannot write the sensor profile {path}: {error.strerror}') from error


def load_profile(path: str | Path) -> SensorProfile:
    """Read a profile.

    Raises:
        ProfileError: the file is missing, too large, no YAML or no profile; the message says which.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ProfileError(f'{path} has {path.stat().st_size} bytes; a sensor profile has some thirty thousand')
        content: Any = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise ProfileError(f'cannot read the sensor profile {path}: {error.strerror}. Make one with '
                           '`rsgmamba profile BAG_OR_FOLDER -o FILE`') from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ProfileError(f'{path} is no sensor profile: it is no YAML text') from error
    if not isinstance(content, dict) or content.get('version') != VERSION:
        raise ProfileError(f'{path} is no sensor profile of version {VERSION}; make one with `rsgmamba profile`')
    wrong = [key for key, kind in _KINDS.items() if type(content.get(key)) is not kind]
    if wrong:
        raise ProfileError(f'{path} is a damaged sensor profile ({", ".join(wrong)}); make it again')
    try:
        return SensorProfile(Modality(content['auxiliary']), content['images'], _decoded(content['mean']),
                             _decoded(content['deviation']), content['source'], _signatures(content['signatures']))
    except ProfileError as error:
        raise ProfileError(f'{path}: {error}') from error
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error, zlib.error) as error:
        raise ProfileError(f'{path} is a damaged sensor profile ({error}); make it again') from error


def _signatures(content: dict[Any, Any]) -> dict[str, Signature]:
    if len(content) > MOST_SIGNATURES:
        raise ValueError(f'{len(content)} signatures')
    return {str(name): Signature(_decoded(value['change']), int(value['images'])) for name, value in content.items()}


def _encoded(values: np.ndarray) -> str:
    return b64encode(zlib.compress(values.astype('<f2').tobytes(), 9)).decode('ascii')


def _decoded(text: str) -> np.ndarray:
    # A small text can stand for gigabytes of zeros.
    unpacked = zlib.decompressobj()
    content = unpacked.decompress(b64decode(text, validate=True), LARGEST_FILE_BYTES)
    if not unpacked.eof:
        raise ValueError('numbers cut off, or far too many')
    return np.frombuffer(content, '<f2').astype(np.float32)
