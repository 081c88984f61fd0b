"""Evidence that a reliability head learns from: statistics of images, of features, and of pairs of features. [ours]

B batch, C channels, H, W map.
"""
from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn import functional as F

STATISTICS_CHANNELS = (8, 16, 32)  # of the convolutions on the image
CELLS = 4                          # the image is cut in CELLS x CELLS for local faults
FEATURE_CHANNELS = 16              # each stage's features are projected to, before pooling
CORRELATION_CHANNELS = 8
FLOOR = 1e-3                       # keeps logarithms and quotients finite on constant images


def pooled_statistics(maps: Tensor) -> Tensor:
    """Mean, and logarithms of the overall, greatest and smallest local deviation; (B, C, H, W) -> (B, 4C)."""
    cells, squares = F.adaptive_avg_pool2d(maps, CELLS), F.adaptive_avg_pool2d(maps * maps, CELLS)
    mean = cells.mean((2, 3))
    local = (squares - cells * cells).clamp_min(0).flatten(2)
    overall = (squares.mean((2, 3)) - mean * mean).clamp_min(0)
    deviations = torch.stack((overall, local.amax(-1), local.amin(-1)), dim=-1)
    return torch.cat((mean, 0.5 * (deviations + FLOOR ** 2).log().flatten(1)), dim=-1)


def _moments(maps: Tensor, axes: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Mean and variance; torch.var_mean is 15 times slower, and of features of order 1 nothing is lost."""
    mean = maps.mean(axes)
    return mean, ((maps * maps).mean(axes) - mean * mean).clamp_min(0)


class ImageStatistics(nn.Module):
    """Statistics of three small strided convolutions on the image."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *STATISTICS_CHANNELS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in zip(channels, channels[1:]))
        self.size = 4 * sum(STATISTICS_CHANNELS)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), normalised -> (B, size)."""
        maps, statistics = images, []
        for convolution in self.convolutions:
            maps = convolution(maps)
            statistics.append(pooled_statistics(maps))
            maps = F.gelu(maps)
        return torch.cat(statistics, dim=-1)


class FeatureStatistics(nn.Module):
    """Mean and standard deviation over the pixels of each stage's projected features."""

    def __init__(self, dims: tuple[int, ...]):
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(dim, FEATURE_CHANNELS) for dim in dims)
        self.size = 2 * FEATURE_CHANNELS * len(dims)

    def forward(self, features: list[Tensor]) -> Tensor:
        """For each stage (B, H, W, C) -> (B, size)."""
        statistics = []
        for projection, feature in zip(self.projections, features):
            mean, variance = _moments(projection(feature), (1, 2))
            statistics += [mean, (variance + FLOOR ** 2).sqrt()]
        return torch.cat(statistics, dim=-1)


class ShiftedCorrelation(nn.Module):
    """Correlation of two modalities' structure at all shifts up to `radius` pixels, per channel."""

    def __init__(self, dim: int, radius: int):
        super().__init__()
        self.radius = radius
        self.rgb = nn.Linear(dim, CORRELATION_CHANNELS)
        self.auxiliary = nn.Linear(dim, CORRELATION_CHANNELS)
        self.size = CORRELATION_CHANNELS * (2 * radius + 1) ** 2

    def forward(self, rgb: Tensor, auxiliary: Tensor) -> Tensor:
        """(B, H, W, C) twice -> (B, size), each in about [-1, 1]."""
        fixed = self._standardise(self.rgb(rgb))
        moving = F.pad(self._standardise(self.auxiliary(auxiliary)), [self.radius] * 4)
        _, _, height, width = fixed.shape
        shifts = range(2 * self.radius + 1)
        correlations = [(fixed * moving[:, :, dy:dy + height, dx:dx + width]).mean((2, 3))
                        for dy in shifts for dx in shifts]
        return torch.cat(correlations, dim=-1)

    @staticmethod
    def _standardise(maps: Tensor) -> Tensor:
        maps = maps.permute(0, 3, 1, 2).contiguous()
        mean, variance = _moments(maps, (2, 3))
        return (maps - mean[:, :, None, None]) * (variance + FLOOR ** 2).rsqrt()[:, :, None, None]
