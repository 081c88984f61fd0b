"""Failures that a sensor profile is made with: inflicted on healthy images, they show what a failure would look like.

H, W image.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rsgmamba_ros.data.corruptions import corrupt
from rsgmamba_ros.network.reliability.profiled.signatures import QUESTION_OF_SIGNATURE, TOO_LONG, TOO_SHORT
from rsgmamba_ros.vocabulary.images import Modality

#: Severity of the failures.
SEVERITY = 3
#: Failures of each modality that are inflicted on one image; the next image gets the next ones.
FAILURES = 2


def signature_name(family: str, modality: Modality, healthy: np.ndarray, corrupted: np.ndarray) -> str:
    """The name of a failure among the signatures; empty if they have none of it.

    Args:
        healthy: auxiliary image, (H, W) float32.
        corrupted: the same image after the failure.
    """
    if family == 'scale_error':
        return TOO_LONG if np.nanmean(corrupted) > np.nanmean(healthy) else TOO_SHORT
    name = f'{modality}/{family}'
    return name if name in QUESTION_OF_SIGNATURE else ''


def inflict_signatures(values: Mapping[Modality, np.ndarray], index: int
                       ) -> Iterator[tuple[str, dict[Modality, np.ndarray]]]:
    """Inflict some failures on a healthy pair, one at a time.

    Args:
        values: both images in sensor units.
        index: of the image; it picks the failures, and seeds them.

    Yields:
        The signature's name and both images; a failure that changes nothing is left out.
    """
    rng = np.random.default_rng([SEVERITY, index])
    for modality in values:
        names = [name for name in QUESTION_OF_SIGNATURE if name.startswith(f'{modality}/')]
        for turn in range(FAILURES):
            name = names[(index * FAILURES + turn) % len(names)]
            family = name.split('/')[1].rstrip('+-')
            image, _ = corrupt(values[modality], family, SEVERITY, rng=rng)
            if not np.array_equal(image, values[modality], equal_nan=modality is not Modality.RGB):
                auxiliary = next(other for other in values if other is not Modality.RGB)
                after = {**values, modality: image}
                found = signature_name(family, modality, values[auxiliary], after[auxiliary])
                if found:
                    yield found, after
