"""Do both images show the same place? A check of the reliability head. [ours]

Logistic regression of what `EdgeAlignment` says, fitted to clean pairs and to the same pairs moved against each other.

N pairs, B batch, E what `EdgeAlignment` gives, H, W image.
"""
from __future__ import annotations

from collections.abc import Iterator
from math import cos, pi, sin

import numpy as np
import torch
from torch import Tensor

from rsgmamba_ros.network.reliability.checks.edge_alignment import EdgeAlignment
from rsgmamba_ros.network.reliability.checks.regression import logistic_regression
from rsgmamba_ros.network.reliability.contract import Check, Observation, ReferenceImages
from rsgmamba_ros.vocabulary.images import Modality

LENGTHS = (0.010, 0.0125, 0.02, 0.025)  # of the shifts that it is fitted to, in widths of the image: 3 to 8 px of 320
SHIFTS = 2                              # for each clean pair
LEAST_ODDS, GREATEST_ODDS = -4.0, 20.0  # one look at the edges, however clear, does not condemn both images for good


class AlignmentCheck(Check):
    """Whether the images are aligned. An unaligned pair is a fault of either image; the other one is the evidence."""

    slope: Tensor
    offset: Tensor

    def __init__(self, rgb: Modality, auxiliary: Modality):
        super().__init__({rgb: (auxiliary,), auxiliary: (rgb,)})
        self.register_buffer('slope', torch.zeros(EdgeAlignment.size))
        self.register_buffer('offset', torch.zeros(1))

    @torch.no_grad()
    def fit(self, reference: ReferenceImages) -> None:
        """See `Check`."""
        slope, offset = logistic_regression(reference.edges, reference.aligned)
        self.slope.copy_(slope)
        self.offset.copy_(offset)
        self.fitted.fill_(1)

    def odds(self, observation: Observation) -> Tensor:
        """See `Check`."""
        return self.fitted * (observation.edges @ self.slope + self.offset).clamp(LEAST_ODDS, GREATEST_ODDS)


def with_shifts(rgb: Tensor, auxiliary: Tensor, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """A clean pair, (B, 3, H, W) each, and then moved against each other; all cut, so that no side gives it away.

    Yields:
        RGB, the auxiliary image, and whether they are aligned.
    """
    height, width = rgb.shape[-2:]
    border = round(LENGTHS[-1] * width)
    for index in range(1 + SHIFTS):
        length, angle = rng.choice(LENGTHS) * width, rng.uniform(0, 2 * pi)
        down, across = (round(length * sin(angle)), round(length * cos(angle))) if index else (0, 0)
        moved = auxiliary[..., border + down:height - border + down, border + across:width - border + across]
        yield rgb[..., border:height - border, border:width - border], moved, not index
