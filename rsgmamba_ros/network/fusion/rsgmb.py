"""RSGMB: reliability acts on the read-out of a selective scan.

One stage at a time. Maps are channels last: B batch, H, W map, C channels, inner channels I. A modality that is not
available has no entry in the dictionaries: what does not exist cannot leak.

Source: RSGMamba (arXiv 2604.12319). [reported]: the gates g_u and g_c, `C_eff`, the low-rank cross projection.
[ours]: availability as structure; the scalar reliability r_m, also in relation; the selector's odds times the
modalities' trust; the norm before the gate (a norm behind it would divide the gate out).
"""
from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.fusion.lcgm import LCGM
from rsgmamba_ros.network.fusion.parts import FusionConfig, PixelGate, POWER, Stream


class RSGMB(nn.Module):
    """Two streams whose scans are read out as far as each modality can be trusted, then merged by LCGM."""

    def __init__(self, dim: int, modalities: int, config: FusionConfig):
        super().__init__()
        inner = int(dim * config.ratio)
        hidden = max(inner // config.gate_reduction, 8)
        self.streams = nn.ModuleList(Stream(dim, config) for _ in range(modalities))
        self.own_gates = nn.ModuleList(PixelGate(inner, hidden) for _ in range(modalities))
        self.selector = PixelGate(3 * inner, hidden)
        self.cross_down = nn.ModuleList(nn.Linear(inner, config.rank, bias=False) for _ in range(modalities))
        self.cross_up = nn.ModuleList(nn.Linear(config.rank, inner, bias=False) for _ in range(modalities))
        self.cross_scale = nn.Parameter(torch.full((modalities,), 0.1))
        self.relative = config.relative
        self.lcgm = LCGM(dim, modalities)

    def forward(self, features: dict[int, Tensor],
                reliability_logits: dict[int, Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        """Fuse one stage.

        What gates modality m is `G_m = g_u^m r_m`, its own gate times its scalar r_m (see `reliability.py`); in a
        `relative` block `G_m = g_u^m (r_m / max_k r_k)^POWER` over what is available.
        With both modalities `C_eff^m = G_m s_m`, where the share s_x has the odds of the selector g_c times
        `G_x / G_rgb` and `s_rgb = 1 - s_x`; so a modality that is not trusted fades until the block is that of
        the other one alone. With one modality s = 1 and g_c plays no part.

        r_m enters detached: it is a measurement, taught by what was done to the image, and the segmentation
        loss must not bend it. The streams, g_u and g_c get their gradient through the products.

        Args:
            features: for each available modality, 0 RGB and 1 auxiliary, (B, H, W, C).
            reliability_logits: for each available modality (B,), float32.

        Returns:
            The fused map, (B, H, W, C), and for each available modality its own gate g_u, (B, H, W, 1).
        """
        inner, branch = {}, {}
        for modality, feature in features.items():
            inner[modality], branch[modality] = self.streams[modality].expand(feature)
        own = {modality: self.own_gates[modality](value).float() for modality, value in inner.items()}
        known = self._known(reliability_logits)
        trust = {modality: F.logsigmoid(logit) + known[modality] for modality, logit in own.items()}
        shares = self._shares(inner, trust)
        read_out = {}
        for modality, value in inner.items():
            stream = self.streams[modality]
            gate = (trust[modality].exp() * shares[modality]).to(value.dtype)
            read_out[modality] = gate * stream.read_out(value, stream.scan.project(value))
        streams = {}
        for modality, value in read_out.items():
            for other in read_out:
                if other != modality:
                    crossed = self.cross_up[modality](self.cross_down[other](read_out[other]))
                    value = value + self.cross_scale[modality].to(value.dtype) * crossed
            streams[modality] = self.streams[modality].contract(features[modality], value, branch[modality])
        shares = {modality: share.to(features[modality].dtype) for modality, share in shares.items()}
        return self.lcgm(streams, shares), {modality: torch.sigmoid(logit) for modality, logit in own.items()}

    def _known(self, reliability_logits: dict[int, Tensor]) -> dict[int, Tensor]:
        """Logarithm of what the reliability leaves of each modality, (B, 1, 1, 1)."""
        known = {modality: F.logsigmoid(logit.detach())[:, None, None, None]
                 for modality, logit in reliability_logits.items()}
        if not self.relative:
            return known
        best = torch.stack(tuple(known.values())).amax(0)
        return {modality: POWER * (value - best) for modality, value in known.items()}

    def _shares(self, inner: dict[int, Tensor], trust: dict[int, Tensor]) -> dict[int, Tensor]:
        if len(inner) == 1:
            return {modality: torch.ones_like(value) for modality, value in trust.items()}
        rgb, auxiliary = inner[0], inner[1]
        selector = self.selector(torch.cat((rgb, auxiliary, (rgb - auxiliary).abs()), dim=-1)).float()
        odds = selector + trust[1] - trust[0]
        return {0: torch.sigmoid(-odds), 1: torch.sigmoid(odds)}
