"""Are the auxiliary image's values all too large, or all too small? A check of the reliability head. [ours]

Two measurements tell, each as far as it is known: the image's mean against what RGB lets expect, and the camera's
height above the floor against the usual one. A wrong scale moves both alike; a camera on another robot moves the height
alone. Compared are the likelihoods that the scale is right and that it is off by a step or more. So an image that
nothing is known of is neither condemned nor confirmed, and one whose floor lies where it should is.

N clean images, B batch, H, W image.
"""
from __future__ import annotations

from dataclasses import dataclass
from math import lgamma, log, pi

import torch
from torch import nn, Tensor

from rsgmamba_ros.network.reliability.expected_level import ExpectedLevel
from rsgmamba_ros.network.reliability.floor_height import FloorHeight

STEP = log(1.2)         # of the logarithm of the distance: an error of a fifth
STEP_DEVIATIONS = 2.0   # the step, where values are no distances: so many deviations of the mean
FREEDOM = 2.0           # of Student's distribution: now and then somebody stands on a chair
OTHER_CAMERA = 0.2      # probability that the height is not the usual one, scale or no scale
OTHER_HEIGHTS = log(2.5)  # of the logarithm: it is then anything from a factor below to a factor above
GREATEST_ODDS = 20.0    # beyond them there is no more to say


@dataclass(frozen=True)
class CleanScale:
    """What the check is fitted to.

    Attributes:
        features: of RGB's last two stages, (N, H / 16, W / 16, C') and (N, H / 32, W / 32, C'').
        images: auxiliary, (N, 1, H, W), normalised.
        floor: share of the floor in each cell, (N, H / 16, W / 16); None where nobody has labelled it.
        unit: change of the logarithm of the distance for a change of 1 of a normalised image; None for what is no
            distance, or not in logarithms.
    """

    features: list[Tensor]
    images: Tensor
    floor: Tensor | None
    unit: float | None


class ScaleCheck(nn.Module):
    """Logarithm of the odds that the scale is right.

    Args:
        dims: channels of RGB's last two stages.
    """

    def __init__(self, dims: tuple[int, int]):
        super().__init__()
        self.level = ExpectedLevel(dims[1])
        self.floor = FloorHeight(sum(dims))
        self.register_buffer('step', torch.ones(1))

    @property
    def is_fitted(self) -> bool:
        """Whether it knows what is usual; until then every scale is as likely as not."""
        return self.level.is_fitted

    def forget(self) -> None:
        """Know no longer what is usual, as for images of another sensor."""
        self.level.forget()
        self.floor.forget()

    def fit(self, clean: CleanScale) -> None:
        """Learn what is usual."""
        self.level.fit(clean.features[-1].mean((1, 2)), clean.images)
        if clean.unit is None:
            self.floor.forget()
            self.step.copy_(STEP_DEVIATIONS * self.level.deviation)
            return
        self.step.fill_(STEP / clean.unit)
        self.floor.fit(clean.features, clean.images, clean.floor, clean.unit)

    def forward(self, features: list[Tensor], images: Tensor) -> Tensor:
        """Compare.

        Args:
            features: of RGB's last two stages, (B, H / 16, W / 16, C') and (B, H / 32, W / 32, C'').
            images: auxiliary, (B, 3, H, W), normalised, channels equal.

        Returns:
            (B,): logarithm of how much likelier it is that the scale is right than that it is off by a step or more.
        """
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
