"""LCGM: two streams -> one map, each sharpened where the other one sees detail.

Source: [ours], after symmetric cross-gating. Maps are channels last: B batch, H, W map, C channels.
"""
from __future__ import annotations

from functools import reduce

import torch
from torch import nn, Tensor

from rsgmamba_ros.network.encoders.vss_block import LayerNorm
from rsgmamba_ros.network.fusion.contract import ByModality
from rsgmamba_ros.network.per_modality import PerModality
from rsgmamba_ros.ops.layers import gelu
from rsgmamba_ros.vocabulary.images import Modality


class LocalGate(nn.Module):
    """Depth-wise 3x3, 1x1, sigmoid."""

    def __init__(self, dim: int):
        super().__init__()
        self.local = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False)
        self.point = nn.Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C) in [0, 1]."""
        return torch.sigmoid(self.point(self.local(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)))


class LCGM(nn.Module):
    """Gate each stream by the other one, weight both by their shares, and project them to one map."""

    def __init__(self, dim: int, modalities: tuple[Modality, ...]):
        super().__init__()
        self.gates = PerModality(modalities, lambda: LocalGate(dim))
        self.merge = PerModality(modalities, lambda: nn.Linear(dim, dim, bias=False))
        self.norm = LayerNorm(dim)

    def forward(self, streams: ByModality, shares: ByModality) -> Tensor:
        """Merge the available streams.

        As a stream's share goes to 0 the result goes to that of the other stream alone.

        Args:
            streams: for each available modality (B, H, W, C).
            shares: for each available modality (B, H, W, 1); they sum to 1.

        Returns:
            (B, H, W, C).
        """
        parts = []
        for modality, stream in streams.items():
            for other in streams:
                if other != modality:
                    stream = stream + stream * (shares[other] * self.gates[other](streams[other]))
            parts.append(self.merge[modality](shares[modality] * stream))
        return gelu(self.norm(reduce(torch.add, parts)))
