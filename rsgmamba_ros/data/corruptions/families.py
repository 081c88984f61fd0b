"""The table of corruption families, and the one function that applies them.

A family is a function `(image, severity, rng) -> (image, mask or None)`; one that shows another moment takes the
earlier image as a fourth argument. Images are in sensor units: RGB (H, W, 3) uint8, depth (H, W) float32 metres with
NaN where there is no echo, thermal (H, W) float32 in any linear unit.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rsgmamba_ros.data.corruptions import depth, lens, rgb, shared, thermal
from rsgmamba_ros.vocabulary.images import Modality

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """One family.

    Attributes:
        modalities: whose images it may be applied to.
        function: see the module.
        held_out: never shown in training, so that reliability on unseen failures can be measured.
        local: only a part of the image is hit; the mask says which.
        needs_previous: shows (part of) an earlier image, `IMAGES_AGO[severity - 1]` images old.
    """

    name: str
    modalities: tuple[Modality, ...]
    function: Callable[..., tuple[np.ndarray, np.ndarray | None]]
    held_out: bool = False
    local: bool = False
    needs_previous: bool = False


_RGB, _DEPTH, _THERMAL = (Modality.RGB,), (Modality.DEPTH,), (Modality.THERMAL,)
_ALL = tuple(Modality)

#: Held out: about a third of each modality's families, among them a noise (impulse; quantisation; stripes) and, for all
#: of them, one that mixes moments (torn).
FAMILIES: dict[str, Corruption] = {item.name: item for item in (
    Corruption('gaussian', _RGB, rgb.gaussian),
    Corruption('shot', _RGB, rgb.shot),
    Corruption('impulse', _RGB, rgb.impulse, held_out=True),
    Corruption('defocus', _RGB, rgb.defocus),
    Corruption('motion', _RGB, rgb.motion, held_out=True),
    Corruption('fog', _RGB, rgb.fog, held_out=True),
    Corruption('contrast', _RGB, rgb.contrast),
    Corruption('brightness', _RGB, rgb.brightness),
    Corruption('jpeg', _RGB, rgb.jpeg, held_out=True),
    Corruption('darkness', _RGB, rgb.darkness),
    Corruption('over_exposure', _RGB, rgb.over_exposure),
    Corruption('dirt', _RGB, lens.dirt, local=True),
    Corruption('drops', _RGB, lens.drops, held_out=True, local=True),
    Corruption('covered', _RGB, lens.covered, local=True),
    Corruption('axial_noise', _DEPTH, depth.axial_noise),
    Corruption('lateral_shift', _DEPTH, depth.lateral_shift, held_out=True),
    Corruption('quantisation', _DEPTH, depth.quantisation, held_out=True),
    Corruption('holes', _DEPTH, depth.holes, local=True),
    Corruption('range_cutoff', _DEPTH, depth.range_cutoff, local=True),
    Corruption('scale_error', _DEPTH, depth.scale_error),
    Corruption('thermal_noise', _THERMAL, thermal.thermal_noise),
    Corruption('stripes', _THERMAL, thermal.stripes, held_out=True),
    Corruption('gain_drift', _THERMAL, thermal.gain_drift),
    Corruption('low_frequency_drift', _THERMAL, thermal.low_frequency_drift, held_out=True),
    Corruption('saturation', _THERMAL, thermal.saturation, local=True),
    Corruption('misalignment', _ALL, shared.misalignment),
    Corruption('temporal', _ALL, shared.show_previous, needs_previous=True),
    Corruption('frozen', _ALL, shared.show_previous, needs_previous=True),
    Corruption('torn', _ALL, shared.torn, held_out=True, local=True, needs_previous=True),
    Corruption('missing', _ALL, shared.missing),
)}


def families_of(modality: Modality, *, held_out: bool | None = None) -> tuple[str, ...]:
    """Names of the families that apply to a modality; all of them, or only the held-out or the seen ones."""
    return tuple(item.name for item in FAMILIES.values()
                 if modality in item.modalities and held_out in (None, item.held_out))


def corrupt(image: np.ndarray, family: str, severity: int, *, rng: np.random.Generator,
            previous: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Spoil an image as a failing sensor would.

    Args:
        image: in sensor units, see the module; it is not changed.
        severity: 1 (mild) to 5.
        previous: an earlier image of the same sensor, of the same shape and dtype, for families with `needs_previous`;
            ideally the one `IMAGES_AGO[severity - 1]` images before.

    Returns:
        The corrupted image, of the same shape and dtype, and for a local family the pixels hit, (H, W) bool, else None.

    Raises:
        ValueError: an unknown family or severity, an image of another kind than the family's, no earlier image.
    """
    item = FAMILIES.get(family)
    if item is None:
        raise ValueError(f'corruption family {family!r} is unknown; known: {sorted(FAMILIES)}')
    if severity not in SEVERITIES:
        raise ValueError(f'severity is {severity!r}; it is one of {SEVERITIES}')
    _check_image(image, item)
    if item.needs_previous and (previous is None or previous.shape != image.shape or previous.dtype != image.dtype):
        raise ValueError(f'family {family!r} needs `previous`, an earlier image of shape {image.shape} and dtype '
                         f'{image.dtype}, got {None if previous is None else (previous.shape, previous.dtype)}')
    if image.size == 0:
        return image.copy(), np.zeros(image.shape[:2], bool) if item.local else None
    arguments = (previous,) if item.needs_previous else ()
    return item.function(image, severity, rng, *arguments)


def _check_image(image: np.ndarray, item: Corruption) -> None:
    is_rgb = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    is_measure = image.ndim == 2 and image.dtype == np.float32
    if not (is_rgb and Modality.RGB in item.modalities or is_measure and item.modalities != _RGB):
        raise ValueError(f'family {item.name!r} is for {[str(m) for m in item.modalities]}: RGB is (H, W, 3) uint8, '
                         f'depth and thermal are (H, W) float32; got {image.shape} {image.dtype}')
