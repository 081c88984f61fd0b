"""RSGMB: reliability acts on the read-out of a selective scan. And the rivals that it is measured against.

One stage at a time. Maps are channels last: B batch, H, W map, C channels, inner channels I. A modality that is not
available has no entry in the dictionaries: what does not exist cannot leak.

Source: RSGMamba (arXiv 2604.12319). [reported]: the gates g_u and g_c, `C_eff`, the low-rank cross projection.
[ours]: availability as structure; the scalar reliability r_m, also in relation; the selector's odds times the
modalities' trust; the norm before the gate (a norm behind it would divide the gate out).
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import math

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.modulation import ConcatenationMerge, LCGM, SumMerge
from rsgmamba_ros.network.vss_block import LayerNorm, SelectiveScan2D
from rsgmamba_ros.ops.layers import depthwise_silu, gelu

#: Logit of the gates of an untrained network: most images are good.
OPEN_LOGIT = 2.0
#: Power of relative reliability: what a spoilt image still shows is worth more than its reliability says.
POWER = 0.25


@dataclass(frozen=True)
class FusionConfig:
    """The size of a stage's fusion.

    Attributes:
        states: N of the scans.
        ratio: inner channels / channels.
        rank: rank of the cross projection.
        gate_reduction: inner channels / hidden channels of a gate.
        relative: whether the gates take a modality's reliability in relation to that of the better one, and to the
            power `POWER`; else as it is. Where both fail there is nothing better to turn to.
    """

    states: int = 1
    ratio: float = 1.0
    rank: int = 16
    gate_reduction: int = 4
    relative: bool = False


class PixelGate(nn.Module):
    """One logit a pixel: LayerNorm -> linear -> GELU -> linear."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.norm = LayerNorm(channels)
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, 1)."""
        return self.fc2(gelu(self.fc1(self.norm(features))))


class Stream(nn.Module):
    """One modality's way through the block: norm, projection, depth-wise 3x3, SiLU, scan, norm; SiLU(z); projection."""

    def __init__(self, dim: int, config: FusionConfig):
        super().__init__()
        inner = int(dim * config.ratio)
        self.norm = LayerNorm(dim)
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.scan = SelectiveScan2D(inner, states=config.states, dt_rank=math.ceil(dim / 16))
        self.out_norm = LayerNorm(inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)

    def expand(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, C) -> the scan's input a_m and the branch z, (B, H, W, I) each."""
        inner, branch = self.in_proj(self.norm(features)).chunk(2, dim=-1)
        return depthwise_silu(inner, self.conv2d.weight), branch

    def read_out(self, inner: Tensor, projected: Tensor) -> Tensor:
        """The scan's normalised result, (B, H, W, I)."""
        return self.out_norm(self.scan.scan(inner, projected))

    def contract(self, features: Tensor, read_out: Tensor, branch: Tensor) -> Tensor:
        """Back to (B, H, W, C), beside the residual path."""
        return features + self.out_proj(read_out * F.silu(branch))


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

    @torch.no_grad()
    def open_gates(self) -> None:
        """Begin a training with trust: half-closed gates would halve what is learned of the scans at first."""
        for gate in self.own_gates:
            gate.fc2.bias.fill_(OPEN_LOGIT)

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
        inner, branch, projected = {}, {}, {}
        for modality, feature in features.items():
            stream = self.streams[modality]
            inner[modality], branch[modality] = stream.expand(feature)
            projected[modality] = stream.scan.project(inner[modality])
        if self.swap_readings and len(features) == 2:
            projected = self._swap(projected)
        streams = {}
        for modality, feature in features.items():
            stream = self.streams[modality]
            read_out = stream.read_out(inner[modality], projected[modality])
            streams[modality] = stream.contract(feature, read_out, branch[modality])
        return self.merge(streams, {}), {}

    def _swap(self, projected: dict[int, Tensor]) -> dict[int, Tensor]:
        states = self.streams[0].scan.states
        split = {modality: value.split((value.shape[-1] - states, states), dim=-1)
                 for modality, value in projected.items()}
        return {0: torch.cat((split[0][0], split[1][1]), dim=-1), 1: torch.cat((split[1][0], split[0][1]), dim=-1)}


def build_rsgmb(dim: int, modalities: int, config: FusionConfig) -> nn.Module:
    """The network of this package."""
    return RSGMB(dim, modalities, config)


def build_sum(dim: int, modalities: int, config: FusionConfig) -> nn.Module:
    """Plain sum; the single-modality networks use it too, with one modality."""
    return UngatedFusion(dim, modalities, config, merge=SumMerge, swap_readings=False)


def build_cross_scan(dim: int, modalities: int, config: FusionConfig) -> nn.Module:
    """Sigma-style cross scan, without gates."""
    return UngatedFusion(dim, modalities, config, merge=ConcatenationMerge, swap_readings=True)


@dataclass(frozen=True)
class FusionKind:
    """How a network fuses.

    Attributes:
        build: makes one stage's fusion.
        modalities: the modalities that it looks at, 0 RGB and 1 auxiliary.
        gated: whether it estimates reliability.
        width: factor of the inner channels by which a rival gets as many parameters as RSGMB has, within 1 % at the
            presets `nano` and `lite`.
    """

    build: Callable[[int, int, FusionConfig], nn.Module]
    modalities: tuple[int, ...] = (0, 1)
    gated: bool = False
    width: float = 1.0

    def stage(self, dim: int, size: FusionConfig) -> nn.Module:
        """One stage's fusion of `dim` channels."""
        return self.build(dim, len(self.modalities), replace(size, ratio=size.ratio * self.width))


FUSIONS: dict[str, FusionKind] = {
    'rsgmb': FusionKind(build_rsgmb, gated=True),
    'sum': FusionKind(build_sum, width=1.75),
    'cross_scan': FusionKind(build_cross_scan, width=5 / 3),
    'rgb_only': FusionKind(build_sum, modalities=(0,), width=3.5),
    'x_only': FusionKind(build_sum, modalities=(1,), width=3.5),
}
