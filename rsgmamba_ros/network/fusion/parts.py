"""What fusions are made of: their size, a gate, and one modality's way through a block.

Maps are channels last: B batch, H, W map, C channels, inner channels I.
"""
from __future__ import annotations

from dataclasses import dataclass
import math

from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.encoders.vss_block import LayerNorm, SelectiveScan2D
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
        exchange: whether the block is a `ReliableCrossScan`, which has no use for `gate_reduction` and `relative`.
    """

    states: int = 1
    ratio: float = 1.0
    rank: int = 16
    gate_reduction: int = 4
    relative: bool = False
    exchange: bool = False


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

    def open(self) -> None:
        """Begin a training with trust: half-closed gates would halve what is learned of the scans at first."""
        nn.init.constant_(self.fc2.bias, OPEN_LOGIT)


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
