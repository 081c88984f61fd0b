"""Are the auxiliary image's values all too large, or all too small? A check of the reliability head. [ours]

Two measurements tell, each as far as it is known: the image's mean against what RGB lets expect, and the camera's
height above the floor against the usual one. A wrong scale moves both alike; a camera on another robot moves the height
alone. Compared are the likelihoods that the scale is right and that it is off by a step or more. So an image that
nothing is known of is neither condemned nor confirmed, and one whose floor lies where it should is.

N clean images, B batch, H, W image.
"""
from __future__ import annotations

from math import lgamma, log, pi

import torch
from torch import Tensor

from rsgmamba_ros.network.reliability.checks.expected_level import ExpectedLevel
from rsgmamba_ros.network.reliability.checks.floor_height import FloorHeight
from rsgmamba_ros.network.reliability.contract import Check, Observation, ReferenceImages
from rsgmamba_ros.vocabulary.images import Modality

STEP = log(1.2)         # of the logarithm of the distance: an error of a fifth
STEP_DEVIATIONS = 2.0   # the step, where values are no distances: so many deviations of the mean
FREEDOM = 2.0           # of Student's distribution: now and then somebody stands on a chair
OTHER_CAMERA = 0.2      # probability that the height is not the usual one, scale or no scale
OTHER_HEIGHTS = log(2.5)  # of the logarithm: it is then anything from a factor below to a factor above
GREATEST_ODDS = 20.0    # beyond them there is no more to say


class ScaleCheck(Check):
    """Whether the scale of the auxiliary image is right; RGB is the evidence.

    Args:
        auxiliary: what is checked.
        dims: channels of RGB's last two stages.
    """

    step: Tensor

    def __init__(self, auxiliary: Modality, dims: tuple[int, ...]):
        super().__init__({auxiliary: (Modality.RGB,)})
        self.auxiliary = auxiliary
        self.level = ExpectedLevel(dims[1])
        self.floor = FloorHeight(sum(dims))
        self.register_buffer('step', torch.ones(1))

    def forget(self) -> None:
        """See `Fitted`."""
        super().forget()
        self.level.forget()
        self.floor.forget()

    def fit(self, reference: ReferenceImages) -> None:
        """See `Check`."""
        self.level.fit(reference.rgb_features[-1].mean((1, 2)), reference.auxiliary)
        self.fitted.fill_(1)
        unit = reference.log_distance_unit
        if unit is None:
            self.floor.forget()
            self.step.copy_(STEP_DEVIATIONS * self.level.deviation)
            return
        self.step.fill_(STEP / unit)
        self.floor.fit(reference.rgb_features, reference.auxiliary, reference.floor, unit)

    def odds(self, observation: Observation) -> Tensor:
        """See `Check`: how much likelier it is that the scale is right than that it is off by a step or more."""
        features, images = observation.features[Modality.RGB][-2:], observation.images[self.auxiliary]
        level, of_level = self.level(features[-1].mean((1, 2)), images)
        height, of_height = self.floor(features, images)
        together = (of_level * level + of_height * height) / (of_level + of_height).clamp_min(1e-6)
        errors = torch.stack((level, torch.where(of_height > 0, height, level), together, self.step.expand_as(level)))
        errors = torch.cat((errors, -errors[-1:]))  # the likeliest one is among them
        errors = torch.where(errors < 0, -1.0, 1.0) * torch.maximum(errors.abs(), self.step)
        odds = self._likelihood(level, of_level, height, of_height) \
            - self._likelihood(level - errors, of_level, height - errors, of_height).amax(0)
        return odds.clamp(-GREATEST_ODDS, GREATEST_ODDS)

    def _likelihood(self, level: Tensor, of_level: Tensor, height: Tensor, of_height: Tensor) -> Tensor:
        """Its logarithm, of deviations that are known so closely; 0 where nothing is known."""
        usual = _log_density(height, of_height) + log(1 - OTHER_CAMERA)
        other = torch.log(OTHER_CAMERA * STEP / (2 * OTHER_HEIGHTS * self.step))
        seen = torch.where(of_height > 0, torch.logaddexp(usual, other.expand_as(usual)), 0.0)
        return torch.where(of_level > 0, _log_density(level, of_level), 0.0) + seen


def _log_density(error: Tensor, information: Tensor) -> Tensor:
    """Of Student's distribution with a spread of one divided by the root of the information."""
    constant = lgamma((FREEDOM + 1) / 2) - lgamma(FREEDOM / 2) - 0.5 * log(FREEDOM * pi)
    return constant + 0.5 * information.clamp_min(1e-6).log() \
        - 0.5 * (FREEDOM + 1) * torch.log1p(error.square() * information / FREEDOM)
