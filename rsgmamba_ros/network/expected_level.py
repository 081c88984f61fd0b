"""Does the auxiliary image's mean go with what RGB shows? Evidence for the reliability head. [ours]

Depth whose distances are all a fifth too long looks like good depth of a larger room: only what RGB shows of the room
can tell. The mean is predicted from RGB's last features by ridge regression, and what is unusual of the difference is
evidence. What is usual is fitted to clean images, not learned.

N clean images, B batch, C channels, H, W map.
"""
from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.typicality import LEAST_VALID, QUANTILE

FOLDS = 5                                    # of the cross validation
RIDGES = (30.0, 100.0, 300.0, 1000.0, 3000.0)  # that it chooses from
SMALLEST_SPREAD = 1e-2                       # of the differences; half precision keeps the prediction to a thousandth


class ExpectedLevel(nn.Module):
    """How much farther an image's mean is from the expected one than those of clean images are.

    Args:
        channels: C of RGB's features.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer('slope', torch.zeros(channels))
        self.register_buffer('centre', torch.zeros(channels))
        self.register_buffer('mean', torch.zeros(1))
        self.register_buffer('middle', torch.zeros(1))  # median difference of the clean images
        self.register_buffer('spread', torch.ones(1))   # from there to their `QUANTILE`
        self.register_buffer('known', torch.zeros(1))
        self.weight = nn.Parameter(torch.full((1,), 0.54))  # its softplus is 1

    @property
    def is_fitted(self) -> bool:
        """Whether it knows what to expect; until then every image is as expected."""
        return bool(self.known)

    @torch.no_grad()
    def forget(self) -> None:
        """Know no longer what to expect, as for images of another sensor."""
        self.known.zero_()

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
        slope, mean = _regress(standard, levels, ridge)
        self.slope.copy_(slope / deviation)
        self.centre.copy_(centre)
        self.mean.copy_(mean)
        # What is usual is measured on images that the regression had not seen.
        difference = held_out[ridge].abs()
        middle, far = difference.quantile(difference.new_tensor([0.5, QUANTILE])).tolist()
        self.middle.fill_(middle)
        self.spread.fill_(max(far - middle, SMALLEST_SPREAD))
        self.known.fill_(1)

    def forward(self, features: Tensor, images: Tensor) -> Tensor:
        """Compare.

        Args:
            features: of RGB, pooled, (B, C).
            images: auxiliary, (B, 3, H, W), normalised, channels equal.

        Returns:
            (B,): logarithm of the difference beyond the usual, 0 or more.
        """
        expected = (features - self.centre) @ self.slope + self.mean
        beyond = F.relu((mean_level(images) - expected).abs() - self.middle) / self.spread
        return self.known * beyond.log1p()

    def learned(self, features: Tensor, images: Tensor) -> Tensor:
        """What the auxiliary modality's logit gets of it, (B,), 0 or less."""
        return -F.softplus(self.weight) * self(features, images)


def mean_level(images: Tensor) -> Tensor:
    """Mean of the pixels with a measurement, (B, 1 or 3, H, W), normalised, channels equal -> (B,)."""
    values = images[:, 0]
    valid = (values > LEAST_VALID).float()
    return (values * valid).sum((1, 2)) / valid.sum((1, 2)).clamp_min(1)


def _held_out_differences(features: Tensor, levels: Tensor, ridge: float) -> Tensor:
    fold = torch.arange(len(levels), device=levels.device) % FOLDS
    differences = torch.empty_like(levels)
    for index in range(FOLDS):
        seen, held_out = fold != index, fold == index
        slope, mean = _regress(features[seen], levels[seen], ridge)
        differences[held_out] = features[held_out] @ slope + mean - levels[held_out]
    return differences


def _regress(features: Tensor, levels: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Slope (C,) and mean of the levels, for features whose mean is 0."""
    mean = levels.mean()
    gram = features.T @ features + ridge * torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    return torch.linalg.solve(gram, features.T @ (levels - mean)), mean
