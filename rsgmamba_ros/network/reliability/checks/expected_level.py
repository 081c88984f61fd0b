"""Does the auxiliary image's mean go with what RGB shows? [ours]

Depth whose distances are all a fifth too long looks like good depth of a larger room: only what RGB shows of the room
can tell. The mean is predicted from RGB's last features by ridge regression, fitted to clean images.

N clean images, B batch, C channels, H, W map.
"""
from __future__ import annotations

import torch
from torch import Tensor

from rsgmamba_ros.network.reliability.checks.regression import held_out_folds, ridge_regression
from rsgmamba_ros.network.reliability.checks.typicality import LEAST_VALID
from rsgmamba_ros.network.reliability.contract import Fitted

RIDGES = (30.0, 100.0, 300.0, 1000.0, 3000.0)  # that the cross validation chooses from
SMALLEST_DEVIATION = 1e-2                      # half precision keeps the prediction to a thousandth


class ExpectedLevel(Fitted):
    """How far an image's mean is from the expected one, and how closely that is known.

    Args:
        channels: C of RGB's features.
    """

    slope: Tensor
    centre: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer('slope', torch.zeros(channels))
        self.register_buffer('centre', torch.zeros(channels))
        self.register_buffer('mean', torch.zeros(1))
        self.register_buffer('deviation', torch.ones(1))

    @torch.no_grad()
    def fit(self, features: Tensor, images: Tensor) -> None:
        """Learn what to expect.

        Args:
            features: of clean RGB images, pooled, (N, C).
            images: the clean auxiliary images, (N, 1 or 3, H, W), normalised.
        """
        features, levels = features.double(), mean_level(images).double()
        centre, deviation = features.mean(0), features.std(0).clamp_min(1e-6)
        standard = (features - centre) / deviation
        held_out = {ridge: _held_out_differences(standard, levels, ridge) for ridge in RIDGES}
        ridge = min(held_out, key=lambda value: float(held_out[value].square().mean()))
        slope, mean = ridge_regression(standard, levels, ridge)
        self.slope.copy_(slope / deviation)
        self.centre.copy_(centre)
        self.mean.copy_(mean)
        # What is usual is measured on images that the regression had not seen.
        self.deviation.fill_(max(float(held_out[ridge].square().mean().sqrt()), SMALLEST_DEVIATION))
        self.fitted.fill_(1)

    def forward(self, features: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compare.

        Args:
            features: of RGB, pooled, (B, C).
            images: auxiliary, (B, 3, H, W), normalised, channels equal.

        Returns:
            How far the mean is above the expected one, (B,), and one divided by its variance, (B,), 0 before `fit`.
        """
        expected = (features - self.centre) @ self.slope + self.mean
        difference = mean_level(images) - expected
        return difference, (self.fitted / self.deviation.square()).expand_as(difference)


def mean_level(images: Tensor) -> Tensor:
    """Mean of the pixels with a measurement, (B, 1 or 3, H, W), normalised, channels equal -> (B,)."""
    values = images[:, 0]
    valid = (values > LEAST_VALID).float()
    return (values * valid).sum((1, 2)) / valid.sum((1, 2)).clamp_min(1)


def _held_out_differences(features: Tensor, levels: Tensor, ridge: float) -> Tensor:
    differences = torch.empty_like(levels)
    for seen, held_out in held_out_folds(len(levels), levels.device):
        slope, mean = ridge_regression(features[seen], levels[seen], ridge)
        differences[held_out] = features[held_out] @ slope + mean - levels[held_out]
    return differences
