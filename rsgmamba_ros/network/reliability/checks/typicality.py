"""Does an image change from pixel to pixel as clean ones of its sensor do? Evidence for the reliability head. [ours]

Noise, blur, steps, holes and shifted edges all bend the distribution of differences between neighbours, each in its own
direction; how far an image lies from the clean ones tells of failures that nobody trained. Its direction is not used:
an image that is smoother than a clean one is as strange as one that is rougher. What is clean is fitted, not learned.
"""
from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.reliability.contract import Check, Observation, ReferenceImages
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import INVALID_VALUE, NORMALISED_RANGE

#: Edges of the bins of |difference| between neighbours, of the normalised image.
EDGES = (1e-4, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.4, 0.8)
#: Normalised values below it stand for no measurement: half-way from the valid range to `INVALID_VALUE`.
LEAST_VALID = (INVALID_VALUE - NORMALISED_RANGE / 2) / 2
SMALLEST_SHARE = 1e-3  # shares of pixels below it count as equal
RIDGE = 1e-2           # added to the variances of the clean images' logarithms
QUANTILE = 0.95        # of clean images: its distance from their median is the unit


class Typicality(Check):
    """How much farther from the clean images an auxiliary image lies than they do themselves.

    RGB has too many kinds of clean images for it.
    """

    features = 2 * (len(EDGES) + 1) + 1
    centre: Tensor
    whitening: Tensor
    middle: Tensor
    spread: Tensor

    def __init__(self, auxiliary: Modality):
        super().__init__({auxiliary: ()})
        self.auxiliary = auxiliary
        self.register_buffer('centre', torch.zeros(self.features))
        self.register_buffer('whitening', torch.zeros(self.features, self.features))
        self.register_buffer('middle', torch.zeros(1))  # median distance of the clean images
        self.register_buffer('spread', torch.ones(1))   # from there to their `QUANTILE`
        self.weight = nn.Parameter(torch.full((1,), 0.54))  # its softplus is 1

    @torch.no_grad()
    def fit(self, reference: ReferenceImages) -> None:
        """See `Check`; N must be well above the number of features, 23."""
        shares = torch.cat([difference_shares(part[:, :1]) for part in torch.split(reference.auxiliary, 16)]).double()
        self.centre.copy_(shares.mean(0))
        ridge = RIDGE * torch.eye(self.features, dtype=torch.double, device=shares.device)
        inverse = torch.linalg.inv(torch.cov(shares.T) + ridge)
        # In half precision a checkpoint keeps its entries to a thousandth.
        self.whitening.copy_(torch.linalg.cholesky(inverse, upper=True))
        distance = self._distance(shares.float())
        middle, far = distance.quantile(distance.new_tensor([0.5, QUANTILE])).tolist()
        self.middle.fill_(middle)
        self.spread.fill_(max(far - middle, 0.1))
        self.fitted.fill_(1)

    def odds(self, observation: Observation) -> Tensor:
        """See `Check`: 0 for a usual image, below 0 for an unusual one."""
        return -self.excess(observation.images[self.auxiliary])

    def learned(self, observation: Observation) -> Tensor:
        """The learned term of the logit for gates and loss, (B,), 0 or less."""
        return F.softplus(self.weight) * self.odds(observation)

    def excess(self, images: Tensor) -> Tensor:
        """Logarithm of the distance beyond the usual one, 0 or more.

        Args:
            images: auxiliary, (B, 3, H, W), normalised, channels equal.

        Returns:
            (B,).
        """
        beyond = F.relu(self._distance(difference_shares(images[:, :1])) - self.middle) / self.spread
        # Mild noise lies tens of spreads away already: its logarithm leaves room for what is worse.
        return self.fitted * beyond.log1p()

    def _distance(self, shares: Tensor) -> Tensor:
        return ((shares - self.centre) @ self.whitening.T).square().sum(-1).sqrt()


def difference_shares(images: Tensor) -> Tensor:
    """Logarithms of the shares of |difference| between `EDGES`, across and down, and of pixels without a measurement.

    (B, 1, H, W) -> (B, features).
    """
    valid = (images > LEAST_VALID).float()
    parts = [*_shares((images[..., 1:] - images[..., :-1]).abs(), valid[..., 1:] * valid[..., :-1]),
             *_shares((images[..., 1:, :] - images[..., :-1, :]).abs(), valid[..., 1:, :] * valid[..., :-1, :]),
             1 - valid.mean((1, 2, 3))]
    return (torch.stack(parts, dim=-1) + SMALLEST_SHARE).log()


def _shares(differences: Tensor, counted: Tensor) -> list[Tensor]:
    total = counted.sum((1, 2, 3)).clamp_min(1)
    below = [((differences <= edge).float() * counted).sum((1, 2, 3)) / total for edge in EDGES]
    return [below[0], *(high - low for low, high in zip(below, below[1:])), 1 - below[-1]]
