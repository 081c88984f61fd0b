"""A cross scan whose exchange and merge are weighted by reliability: the fusion of the preset `lite`.

One stage at a time; symbols as in `network.fusion.rsgmb`. Source: the exchange of C is Sigma's (arXiv 2404.04256);
the weights and the stand-ins are [ours].
"""
from __future__ import annotations

from dataclasses import replace
import math

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.fusion.contract import ByModality, FusedStage, Fusion, FusionConfig
from rsgmamba_ros.network.fusion.parts import (
    ConcatenationMerge,
    log_products,
    PixelGate,
    run_crossed_streams,
    run_streams,
    streams_of,
)
from rsgmamba_ros.network.per_modality import PerModality
from rsgmamba_ros.ops.layers import gelu
from rsgmamba_ros.vocabulary.images import Modality

#: Inner channels of a cross scan / inner channels of `RSGMB`, whose merge has more parameters.
CROSS_SCAN_WIDTH = 5 / 3
#: Channels / hidden channels of the gates.
GATE_REDUCTION = 16
#: Power of the relative reliability before training: a corrupted image still shows more than its reliability tells.
INITIAL_POWER = 0.25


class StandIn(nn.Module):
    """Feeds adapted features of a single modality into the idle stream, and adjusts the norm of the merge.

    The adapted features are the features scaled by channel, plus a low-rank change. The share of the idle stream in the
    merge starts at 0, and the adjustment of the norm at the identity.
    """

    def __init__(self, dim: int, rank: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))
        self.down = nn.Linear(dim, rank)
        self.up = nn.Linear(rank, dim)
        self.share = nn.Parameter(torch.zeros(dim))
        self.gain = nn.Parameter(torch.ones(dim))
        self.shift = nn.Parameter(torch.zeros(dim))

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) -> the same shape."""
        adapted: Tensor = features * self.scale.to(features.dtype) + self.up(gelu(self.down(features)))
        return adapted

    def adjusted(self, normalised: Tensor) -> Tensor:
        """The normalised merge of a single modality, (B, H, W, C) -> the same shape."""
        return normalised * self.gain.to(normalised.dtype) + self.shift.to(normalised.dtype)


class ReliableCrossScan(Fusion):
    """A cross scan in which reliability decides how much of each modality is exchanged and merged.

    With the gates off it is a plain cross scan, and it starts as one: the gates are trained after everything else.
    """

    #: Beginnings of the names of the parameters that a plain cross scan does not have.
    gate_names = ('own_gates', 'powers', 'stand_ins')

    def __init__(self, dim: int, modalities: tuple[Modality, ...], config: FusionConfig):
        super().__init__()
        hidden = max(dim // GATE_REDUCTION, 8)
        self.modalities = modalities
        self.streams = streams_of(dim, modalities, replace(config, ratio=config.ratio * CROSS_SCAN_WIDTH))
        self.merge = ConcatenationMerge(dim, modalities)
        self.own_gates = PerModality(modalities, lambda: PixelGate(dim, hidden))
        # Their softplus is the power.
        self.powers = nn.Parameter(torch.full((len(modalities),), math.log(math.expm1(INITIAL_POWER))))
        self.stand_ins = PerModality(modalities, lambda: StandIn(dim, config.rank))

    def open_gates(self) -> None:
        """See `Fusion`."""
        for modality in self.modalities:
            self.own_gates[modality].open()

    def forward(self, features: ByModality, reliability_logits: ByModality) -> FusedStage:
        """Fuse one stage.

        Modality m is gated by `G_m = g_u^m r_m`, its own gate times its scalar reliability r_m. Its weight is relative
        to the better modality of each pixel: `e_m = (G_m / max_k G_k)^p_m`, with a learned power p_m. Stream m is read
        out with `C_eff^m = C_m + e_o (C_o - C_m)`, o the other modality, and the merge takes `e_m` of the stream. So an
        unreliable modality fades until the block is a cross scan of the other one alone. A modality that is alone also
        uses the idle stream of the missing one, see `StandIn`.

        Args:
            features: for each available modality (B, H, W, C).
            reliability_logits: for each available modality (B,), float32; empty for a plain cross scan.

        Returns:
            See `FusedStage`; no gates where no reliabilities are given.
        """
        if not reliability_logits:
            return FusedStage(self.merge(run_crossed_streams(self.streams, features)))
        logits = {modality: self.own_gates[modality](feature).float() for modality, feature in features.items()}
        gates = {modality: torch.sigmoid(logit) for modality, logit in logits.items()}
        if len(features) == 1:
            return FusedStage(self._fuse_one(features), gates)
        weights = self._weights(log_products(logits, reliability_logits))
        weights = {modality: weight.to(features[modality].dtype) for modality, weight in weights.items()}
        streams = run_crossed_streams(self.streams, features, amounts=weights)
        weighted = {modality: stream * weights[modality] for modality, stream in streams.items()}
        return FusedStage(self.merge(weighted), gates)

    def _fuse_one(self, features: ByModality) -> Tensor:
        """A single modality and its stand-in, (B, H, W, C) -> the fused map, (B, H, W, C)."""
        (present, feature), = features.items()
        missing, = (modality for modality in self.modalities if modality != present)
        stand_in = self.stand_ins[present]
        streams = run_streams(self.streams, {present: feature, missing: stand_in(feature)})
        streams[missing] = streams[missing] * stand_in.share.to(feature.dtype)
        merged: Tensor = self.merge(streams, adjust=stand_in.adjusted)
        return merged

    def _weights(self, log_gates: ByModality) -> ByModality:
        """log G_m, (B, H, W, 1) each -> e_m, (B, H, W, 1) each: 1 for the more reliable modality of a pixel."""
        best = torch.stack(tuple(log_gates.values())).amax(0)
        powers = F.softplus(self.powers)
        return {modality: torch.exp(powers[self.modalities.index(modality)] * (value - best))
                for modality, value in log_gates.items()}
