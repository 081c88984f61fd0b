"""RSGMB, then LCGM: reliability acts on the read-out of a selective scan. The fusion of the presets `nano` and `base`.

One stage at a time. Maps are channels last: B batch, H, W map, C channels, inner channels I.

Source: RSGMamba (arXiv 2604.12319). [reported]: the gates g_u and g_c, `C_eff`, the low-rank cross projection.
[ours]: availability as structure; the scalar reliability r_m; the selector's odds times those of the modalities' gates;
the norm before the gate (a norm after it would divide the gate out).
"""
from __future__ import annotations

import torch
from torch import nn

from rsgmamba_ros.network.fusion.contract import ByModality, FusedStage, Fusion, FusionConfig
from rsgmamba_ros.network.fusion.lcgm import LCGM
from rsgmamba_ros.network.fusion.parts import log_products, PixelGate, ScanInput, streams_of
from rsgmamba_ros.network.per_modality import PerModality
from rsgmamba_ros.vocabulary.images import Modality


class RSGMB(Fusion):
    """Two streams whose scans are read out by the reliability of each modality, then merged by LCGM."""

    def __init__(self, dim: int, modalities: tuple[Modality, ...], config: FusionConfig):
        super().__init__()
        inner = int(dim * config.ratio)
        hidden = max(inner // config.gate_reduction, 8)
        self.modalities = modalities
        self.streams = streams_of(dim, modalities, config)
        self.own_gates = PerModality(modalities, lambda: PixelGate(inner, hidden))
        self.selector = PixelGate(3 * inner, hidden)
        self.cross_down = PerModality(modalities, lambda: nn.Linear(inner, config.rank, bias=False))
        self.cross_up = PerModality(modalities, lambda: nn.Linear(config.rank, inner, bias=False))
        self.cross_scale = nn.Parameter(torch.full((len(modalities),), 0.1))
        self.lcgm = LCGM(dim, modalities)

    def open_gates(self) -> None:
        """See `Fusion`."""
        for modality in self.modalities:
            self.own_gates[modality].open()

    def forward(self, features: ByModality, reliability_logits: ByModality) -> FusedStage:
        """Fuse one stage.

        Modality m is gated by `G_m = g_u^m r_m`, its own gate times its scalar reliability r_m. With both modalities
        `C_eff^m = G_m s_m`, where the share s_x has the odds of the selector g_c times `G_x / G_rgb`, and
        `s_rgb = 1 - s_x`. So an unreliable modality fades until the block is that of the other one alone. With one
        modality s = 1, and g_c is not used.

        r_m enters detached: it is a measurement, and the segmentation loss must not change it. The streams, g_u and g_c
        get their gradient through the products.

        Args:
            features: for each available modality (B, H, W, C).
            reliability_logits: for each available modality (B,), float32.

        Returns:
            See `FusedStage`.
        """
        # What each modality's scan gets.
        inputs = {modality: self.streams[modality].prepare(feature) for modality, feature in features.items()}
        # How much of each modality passes, and how the modalities share the result.
        logits = {modality: self.own_gates[modality](given.inner).float() for modality, given in inputs.items()}
        log_gates = log_products(logits, reliability_logits)
        shares = self._shares(inputs, log_gates)
        # The gated read-outs, and what each takes from the other one.
        read_outs = {modality: (log_gates[modality].exp() * shares[modality]).to(given.inner.dtype)
                     * self.streams[modality].read_out(given) for modality, given in inputs.items()}
        crossed = self._crossed(read_outs)
        # Back to the stage's channels, and one map.
        streams = {modality: self.streams[modality].contract(features[modality], value, inputs[modality].branch)
                   for modality, value in crossed.items()}
        shares = {modality: share.to(features[modality].dtype) for modality, share in shares.items()}
        return FusedStage(self.lcgm(streams, shares),
                          {modality: torch.sigmoid(logit) for modality, logit in logits.items()})

    def _shares(self, inputs: dict[Modality, ScanInput], log_gates: ByModality) -> ByModality:
        """How the available modalities share the result, (B, H, W, 1) each, float32; they sum to 1."""
        if len(inputs) == 1:
            return {modality: torch.ones_like(value) for modality, value in log_gates.items()}
        rgb, auxiliary = self.modalities
        a_rgb, a_x = inputs[rgb].inner, inputs[auxiliary].inner
        selector = self.selector(torch.cat((a_rgb, a_x, (a_rgb - a_x).abs()), dim=-1)).float()
        odds = selector + log_gates[auxiliary] - log_gates[rgb]
        return {rgb: torch.sigmoid(-odds), auxiliary: torch.sigmoid(odds)}

    def _crossed(self, read_outs: ByModality) -> ByModality:
        """Read-outs, (B, H, W, I) each, with a low-rank projection of the other one added."""
        crossed = {}
        for modality, value in read_outs.items():
            scale = self.cross_scale[self.modalities.index(modality)].to(value.dtype)
            for other in read_outs:
                if other != modality:
                    value = value + scale * self.cross_up[modality](self.cross_down[other](read_outs[other]))
            crossed[modality] = value
        return crossed
