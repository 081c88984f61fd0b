"""How high does the depth camera stand above the floor? Evidence of a wrong scale. [ours]

A camera is carried or mounted at much the same height all the time, and a scale wrong by a fifth puts it a fifth too
high. A plane has an inverse distance that is an affine function of the pixel: a u + b v + c, whose length is the
inverse of the camera's distance from the plane. It is fitted to the cells that RGB's features say are floor, robustly.
Where the floor is, how high the camera usually stands and how closely the floor tells it are fitted to clean images.

N clean images, B batch, C channels of RGB's last two stages together, h, w cells at stride 16, H, W image.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.reliability.checks.regression import held_out_folds, logistic_regression
from rsgmamba_ros.network.reliability.checks.typicality import LEAST_VALID
from rsgmamba_ros.network.reliability.contract import Fitted

STRIDE = 16
LEAST_SHARE = 0.3        # a cell that is floor with less probability than this does not count
LEAST_UPRIGHT = 0.55     # cosine between the camera's vertical and the floor's
LEAST_SUPPORT = 1.0      # cells, below which there is no floor
SURE_SUPPORT = 4.0       # cells, above which it tells what is usual
TOLERANCE = 0.04         # relative distance from the plane at which a cell counts for a quarter
STEPS = 8                # of the robust fit
RIDGE = 1e-4             # keeps the plane of few cells finite
FOCALS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)  # focal lengths to choose from, in widths of the image
SUPPORTS = (2.0, 4.0, 8.0, 16.0, 32.0)             # cells, between which deviations are counted apart
GREATEST_DEVIATION = 0.5  # of the logarithm in a clean image: from there on it is not the floor
SMALLEST_SPREAD = 0.03    # of the logarithm
NOWHERE = -20.0           # logit of a floor whose looks are not known
FEWEST = 20               # images that a deviation is told from


class FloorHeight(Fitted):
    """How much higher than usual the camera stands, and how closely that is known.

    Args:
        channels: of RGB's last two stages together.
    """

    slope: Tensor
    offset: Tensor
    focal: Tensor
    unit: Tensor
    usual: Tensor
    spreads: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer('slope', torch.zeros(channels))
        self.register_buffer('offset', torch.full((1,), NOWHERE))
        self.register_buffer('focal', torch.ones(1))
        self.register_buffer('unit', torch.ones(1))   # change of the logarithm of the distance for 1 of the image
        self.register_buffer('usual', torch.zeros(1))
        self.register_buffer('spreads', torch.ones(len(SUPPORTS) + 1))

    @torch.no_grad()
    def fit(self, features: list[Tensor], images: Tensor, floor: Tensor | None, unit: float) -> None:
        """Learn where the floor is, and how high the camera usually stands; nothing if too little floor is seen.

        Args:
            features: RGB's last two stages, (N, H / 16, W / 16, C') and (N, H / 32, W / 32, C'').
            images: the clean depth images, (N, 1 or 3, H, W), normalised.
            floor: share of the floor in each cell, (N, h, w), 0..1; None where nobody has labelled it: what an earlier
                fit found out of its looks stays.
            unit: change of the logarithm of the distance for a change of 1 of a normalised image.
        """
        cells = _cells(features)
        self.unit.fill_(unit)
        inverse, valid = self._inverse_distance(images)
        probability = self._probability(cells) if floor is None else torch.empty_like(inverse)
        # How closely the floor tells the height is measured on images in which the classifier had not seen it.
        if floor is not None:
            for seen, left_out in held_out_folds(len(cells), cells.device):
                slope, offset = logistic_regression(cells[seen], floor[seen])
                probability[left_out] = torch.sigmoid(cells[left_out] @ slope + offset)
        found = {focal: _heights(inverse, _weights(probability, valid), focal) for focal in FOCALS}
        best = min(found, key=lambda focal: _quartile_range(found[focal]))
        height, support = found[best]
        there, surely = support > LEAST_SUPPORT, support > SURE_SUPPORT
        if there.sum() < FEWEST or not surely.any():
            return
        if floor is not None:
            slope, offset = logistic_regression(cells, floor)
            self.slope.copy_(slope)
            self.offset.copy_(offset)
        self.focal.fill_(best)
        self.usual.copy_(height[surely].median())
        deviation = (height - self.usual).clamp(-GREATEST_DEVIATION, GREATEST_DEVIATION)
        for index in range(len(SUPPORTS) + 1):
            own = deviation[there & (_support_class(support) == index)]
            self.spreads[index] = max(float(own.square().mean().sqrt()), SMALLEST_SPREAD) if len(own) >= FEWEST \
                else GREATEST_DEVIATION
        self.fitted.fill_(1)

    def forward(self, features: list[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        """Measure.

        Args:
            features: RGB's last two stages, (B, H / 16, W / 16, C') and (B, H / 32, W / 32, C'').
            images: depth, (B, 3, H, W), normalised, channels equal.

        Returns:
            How far the logarithm of the height is above the usual one, in units of the normalised image, (B,), and one
            divided by its variance, (B,), 0 where no floor is seen.
        """
        inverse, valid = self._inverse_distance(images)
        probability = self._probability(_cells(features))
        height, support = _heights(inverse, _weights(probability, valid), self.focal)
        spread = self.spreads[_support_class(support)] / self.unit
        return (height - self.usual) / self.unit, self.fitted * (support > LEAST_SUPPORT).float() / spread.square()

    def _probability(self, cells: Tensor) -> Tensor:
        """Of the floor in each cell; almost 0 before it was ever fitted."""
        return torch.sigmoid(cells @ self.slope + self.offset)

    def _inverse_distance(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean over each cell, but for a common factor, and the share of its pixels with a measurement, (B, h, w)."""
        values = images[:, :1]
        measured = (values > LEAST_VALID).float()
        valid = F.avg_pool2d(measured, STRIDE)[:, 0]
        inverse = F.avg_pool2d(measured * torch.exp(-self.unit * values), STRIDE)[:, 0]
        return inverse / valid.clamp_min(1e-3), valid


def floor_share(label_map: Tensor, floor: int, size: tuple[int, int]) -> Tensor:
    """Share of each cell's pixels that are floor, (H', W') -> (h, w) of an image that is padded to `size`."""
    is_floor = (label_map == floor).float()
    is_floor = F.pad(is_floor, (0, size[1] - is_floor.shape[1], 0, size[0] - is_floor.shape[0]))
    return F.avg_pool2d(is_floor[None, None], STRIDE)[0, 0]


def _cells(features: list[Tensor]) -> Tensor:
    fine, coarse = features
    batch, height, width, channels = coarse.shape
    doubled = coarse[:, :, None, :, None].expand(-1, -1, 2, -1, 2, -1)
    return torch.cat((fine, doubled.reshape(batch, 2 * height, 2 * width, channels)), dim=-1)


def _weights(probability: Tensor, valid: Tensor) -> Tensor:
    return ((probability - LEAST_SHARE) / (1 - LEAST_SHARE)).clamp_min(0) * (valid > 0.5).float()


def _support_class(support: Tensor) -> Tensor:
    # Not a table: sent to the device it would make a CUDA graph impossible.
    return torch.stack([(support >= bound).long() for bound in SUPPORTS]).sum(0)


def _heights(inverse: Tensor, weights: Tensor, focal: float | Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the camera's distance from the plane of the weighed cells, and how many cells lie in it, (B,)."""
    _, height, width = inverse.shape
    across = (torch.arange(width, device=inverse.device) + 0.5 - width / 2) / (focal * width)
    down = (torch.arange(height, device=inverse.device) + 0.5 - height / 2) / (focal * width)
    # A padded or cropped image has its axis elsewhere: that turns the camera a little, but does not move it.
    ones = torch.ones_like(inverse[0])
    basis = torch.stack((across[None, :] * ones, down[:, None] * ones, ones), dim=-1).flatten(0, 1)  # (h w, 3)
    target, own = inverse.flatten(1), weights.flatten(1)
    counted = own
    for _ in range(STEPS):
        plane = _solve((basis.T[None] * counted[:, None]) @ basis, (counted * target) @ basis)
        distance = (target - plane @ basis.T) / target.clamp_min(0.05)
        counted = own / (1 + (distance / TOLERANCE).square()).square()
    length = plane.square().sum(1).clamp_min(1e-8).sqrt()
    upright = plane[:, 1] / length > LEAST_UPRIGHT
    return -length.log(), counted.sum(1) * upright.float()


def _solve(matrix: Tensor, vector: Tensor) -> Tensor:
    """Symmetric (B, 3, 3) and (B, 3) -> (B, 3), by Cramer's rule: a graph for export knows no solver."""
    first, second, third = (matrix + RIDGE * torch.eye(3, device=matrix.device)).unbind(1)
    columns = torch.stack((_cross(second, third), _cross(third, first), _cross(first, second)), dim=-1)
    determinant = (first * columns[..., 0]).sum(-1, keepdim=True)
    return (columns @ vector[..., None])[..., 0] / determinant


def _cross(left: Tensor, right: Tensor) -> Tensor:
    a, b, c = left.unbind(-1)
    d, e, f = right.unbind(-1)
    return torch.stack((b * f - c * e, c * d - a * f, a * e - b * d), dim=-1)


def _quartile_range(found: tuple[Tensor, Tensor]) -> float:
    height, support = found
    sure = height[support > SURE_SUPPORT]
    if len(sure) < FEWEST:
        return float('inf')
    low, high = sure.quantile(sure.new_tensor([0.25, 0.75]))
    return float(high - low)
