"""LCGM: two streams -> one map, each sharpened where the other one sees detail.

Source: [ours], after symmetric cross-gating. m modality; all maps are channels last.
"""
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn, Tensor

from rsgmamba_ros.network.encoders.vss_block import LayerNorm
from rsgmamba_ros.ops.layers import gelu


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
    """Cross-gate the streams, weigh them by their shares, and project them to one map."""

    def __init__(self, dim: int, modalities: int):
        super().__init__()
        self.gates = nn.ModuleList(LocalGate(dim) for _ in range(modalities))
        self.merge = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(modalities))
        self.norm = LayerNorm(dim)

    def forward(self, streams: dict[int, Tensor], shares: dict[int, Tensor]) -> Tensor:
        """Merge the streams that are there.

        As a stream's share goes to 0 the result goes to that of the other stream alone.

        Args:
            streams: for each available modality (B, H, W, C).
            shares: for each available modality (B, H, W, 1), they sum to 1.

        Returns:
            (B, H, W, C).
        """
        merged = None
        for modality, stream in streams.items():
            for other in streams:
                if other != modality:
                    stream = stream + stream * (shares[other] * self.gates[other](streams[other]))
            part = self.merge[modality](shares[modality] * stream)
            merged = part if merged is None else merged + part
        return gelu(self.norm(merged))


class ConcatenationMerge(nn.Module):
    """Streams side by side -> 1x1 -> one map; an absent stream counts as zeros. For rivals without gates."""

    def __init__(self, dim: int, modalities: int):
        super().__init__()
        self.merge = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(modalities))
        self.norm = LayerNorm(dim)

    def forward(self, streams: dict[int, Tensor], shares: dict[int, Tensor], *,
                adjust: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """See `LCGM`; the shares are not used. `adjust` is applied behind the norm."""
        merged = self.norm(sum(self.merge[modality](stream) for modality, stream in streams.items()))
        return gelu(adjust(merged) if adjust else merged)


class SumMerge(nn.Module):
    """Plain sum of the streams -> 1x1 -> one map. For rivals without gates."""

    def __init__(self, dim: int, modalities: int):
        super().__init__()
        self.merge = nn.Linear(dim, dim, bias=False)
        self.norm = LayerNorm(dim)

    def forward(self, streams: dict[int, Tensor], shares: dict[int, Tensor]) -> Tensor:
        """See `LCGM`; the shares are not used."""
        return gelu(self.norm(self.merge(sum(streams.values()))))
