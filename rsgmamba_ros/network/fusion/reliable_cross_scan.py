"""Streams that a plain merge follows, as published fusions without reliability have them, and what reliability adds.

One stage at a time; maps and modalities as in `network.fusion.rsgmb`. Source:
the exchange of C is Sigma's (arXiv 2404.04256).
"""
from __future__ import annotations

from dataclasses import replace
import math

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.fusion.lcgm import ConcatenationMerge
from rsgmamba_ros.network.fusion.parts import FusionConfig, PixelGate, POWER, Stream
from rsgmamba_ros.ops.layers import gelu

#: Inner channels / channels of a `ReliableCrossScan`, which has no merge to spend parameters on, to those of `RSGMB`.
CROSSED_WIDTH = 5 / 3
#: Channels / hidden channels of its gates.
CROSSED_GATE_REDUCTION = 16


class UngatedFusion(nn.Module):
    """Streams without gates, then a merge: what published fusions without reliability do. For comparison.

    `swap_readings` gives each stream the other one's C, as Sigma's cross scan does; a lone stream keeps its own.
    """

    def __init__(self, dim: int, modalities: int, config: FusionConfig, *, merge: type[nn.Module], swap_readings: bool):
        super().__init__()
        self.streams = nn.ModuleList(Stream(dim, config) for _ in range(modalities))
        self.merge = merge(dim, modalities)
        self.swap_readings = swap_readings

    def forward(self, features: dict[int, Tensor],
                reliability_logits: dict[int, Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        """See `RSGMB.forward`; there are no gates to return."""
        return self.merge(self._streams(features), {}), {}

    def _streams(self, features: dict[int, Tensor],
                 exchanged: dict[int, Tensor] | None = None) -> dict[int, Tensor]:
        """The streams' results; `exchanged` is how far each one's C is taken by the other one, by default wholly."""
        inner, branch, projected = {}, {}, {}
        for modality, feature in features.items():
            stream = self.streams[modality]
            inner[modality], branch[modality] = stream.expand(feature)
            projected[modality] = stream.scan.project(inner[modality])
        if self.swap_readings and len(features) == 2:
            projected = self._swap(projected, exchanged)
        streams = {}
        for modality, feature in features.items():
            stream = self.streams[modality]
            read_out = stream.read_out(inner[modality], projected[modality])
            streams[modality] = stream.contract(feature, read_out, branch[modality])
        return streams

    def _swap(self, projected: dict[int, Tensor], exchanged: dict[int, Tensor] | None) -> dict[int, Tensor]:
        states = self.streams[0].scan.states
        own, readings = zip(*(projected[modality].split((projected[modality].shape[-1] - states, states), dim=-1)
                              for modality in (0, 1)))
        taken = {modality: readings[1 - modality] for modality in (0, 1)}
        if exchanged is not None:
            # Over the directions, (B, H, W, 4, N).
            taken = {modality: torch.lerp(readings[modality], reading, exchanged[1 - modality][..., None])
                     for modality, reading in taken.items()}
        return {modality: torch.cat((own[modality], taken[modality]), dim=-1) for modality in (0, 1)}


class StandIn(nn.Module):
    """What a lone modality puts into the stream of the missing one, which would be idle, and its own norm of the merge.

    It puts in itself, scaled by channel, and a low-rank change of it. How much of the stream's result counts, and how
    the norm differs from the common one, is learned from nothing.
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
        return features * self.scale.to(features.dtype) + self.up(gelu(self.down(features)))

    def adjusted(self, normalised: Tensor) -> Tensor:
        """The normalised merge, (B, H, W, C), as it is for one modality alone."""
        return normalised * self.gain.to(normalised.dtype) + self.shift.to(normalised.dtype)


class ReliableCrossScan(UngatedFusion):
    """A cross scan in which reliability decides what each stream is read with and how much of it is merged.

    Without reliabilities it is the cross scan that others publish, and so it begins: the gates are learned last, when
    everything else is done and stays as it is. [ours]
    """

    #: Beginnings of the names of what a cross scan does not have.
    gates = ('own_gates', 'powers', 'stand_ins')

    def __init__(self, dim: int, modalities: int, config: FusionConfig):
        super().__init__(dim, modalities, replace(config, ratio=config.ratio * CROSSED_WIDTH),
                         merge=ConcatenationMerge, swap_readings=True)
        hidden = max(dim // CROSSED_GATE_REDUCTION, 8)
        self.own_gates = nn.ModuleList(PixelGate(dim, hidden) for _ in range(modalities))
        self.powers = nn.Parameter(torch.full((modalities,), math.log(math.expm1(POWER))))  # their softplus
        self.stand_ins = nn.ModuleList(StandIn(dim, config.rank) for _ in range(modalities))

    def forward(self, features: dict[int, Tensor],
                reliability_logits: dict[int, Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        """Fuse one stage.

        The trust in modality m is `G_m = g_u^m r_m`, its own gate times its scalar reliability; in relation to the more
        trusted one, pixel by pixel, it weighs what m adds: `e_m = (G_m / max_k G_k)^p_m`, with a learned power. Stream
        m is read with `C_eff^m = C_m + e_o (C_o - C_m)`, o the other one, and the merge takes `e_m` of it. So a
        modality that is not trusted fades until the block is the cross scan of the other one alone, but for what a
        `StandIn` adds to a modality that is alone: it takes the other one's place, too.

        Args:
            features: as in `RSGMB.forward`.
            reliability_logits: likewise; empty for a plain cross scan.

        Returns:
            As `RSGMB.forward`; no gates where no reliabilities are given.
        """
        if not reliability_logits:
            return super().forward(features, {})
        own = {modality: gate(features[modality]).float() for modality, gate in enumerate(self.own_gates)
               if modality in features}
        maps = {modality: torch.sigmoid(logit) for modality, logit in own.items()}
        if len(features) == 1:
            return self._alone(features), maps
        weights = self._weights({
            modality: F.logsigmoid(logit) + F.logsigmoid(reliability_logits[modality].detach())[:, None, None, None]
            for modality, logit in own.items()})
        weights = {modality: weight.to(features[modality].dtype) for modality, weight in weights.items()}
        parts = {modality: stream * weights[modality] for modality, stream in self._streams(features, weights).items()}
        return self.merge(parts, {}), maps

    def _alone(self, features: dict[int, Tensor]) -> Tensor:
        (lone, feature), = features.items()
        other, stand_in = 1 - lone, self.stand_ins[lone]
        second = self._streams({other: stand_in(feature)})[other] * stand_in.share.to(feature.dtype)
        return self.merge({**self._streams(features), other: second}, {}, adjust=stand_in.adjusted)

    def _weights(self, trust: dict[int, Tensor]) -> dict[int, Tensor]:
        """Logarithms of the trust, (B, H, W, 1) -> weights, 1 for the more trusted one."""
        best = torch.stack(tuple(trust.values())).amax(0)
        powers = F.softplus(self.powers)
        return {modality: torch.exp(powers[modality] * (value - best)) for modality, value in trust.items()}
