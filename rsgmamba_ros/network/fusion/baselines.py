"""Fusions without reliability, as others publish them: what the package's own fusions are compared with."""
from __future__ import annotations

from functools import reduce

import torch
from torch import nn, Tensor

from rsgmamba_ros.network.encoders.vss_block import LayerNorm
from rsgmamba_ros.network.fusion.contract import ByModality, FusedStage, Fusion, FusionConfig
from rsgmamba_ros.network.fusion.parts import ConcatenationMerge, run_crossed_streams, run_streams, streams_of
from rsgmamba_ros.ops.layers import gelu
from rsgmamba_ros.vocabulary.images import Modality


class SumFusion(Fusion):
    """One stream for each modality, then their plain sum -> 1x1 -> one map. Networks of one modality use it, too."""

    def __init__(self, dim: int, modalities: tuple[Modality, ...], config: FusionConfig):
        super().__init__()
        self.streams = streams_of(dim, modalities, config)
        self.merge = SumMerge(dim)

    def forward(self, features: ByModality, reliability_logits: ByModality) -> FusedStage:
        """See `Fusion`; the reliabilities are not used."""
        return FusedStage(self.merge(run_streams(self.streams, features)))


class SumMerge(nn.Module):
    """Plain sum of the streams -> 1x1 -> one map."""

    def __init__(self, dim: int):
        super().__init__()
        self.merge = nn.Linear(dim, dim, bias=False)
        self.norm = LayerNorm(dim)

    def forward(self, streams: ByModality) -> Tensor:
        """For each available modality (B, H, W, C) -> (B, H, W, C)."""
        return gelu(self.norm(self.merge(reduce(torch.add, streams.values()))))


class CrossScan(Fusion):
    """Streams that are read out with each other's C, side by side -> 1x1 -> one map.

    Source: Sigma (arXiv 2404.04256).
    """

    def __init__(self, dim: int, modalities: tuple[Modality, ...], config: FusionConfig):
        super().__init__()
        self.streams = streams_of(dim, modalities, config)
        self.merge = ConcatenationMerge(dim, modalities)

    def forward(self, features: ByModality, reliability_logits: ByModality) -> FusedStage:
        """See `Fusion`; the reliabilities are not used."""
        return FusedStage(self.merge(run_crossed_streams(self.streams, features)))
