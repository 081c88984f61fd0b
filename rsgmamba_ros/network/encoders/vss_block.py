"""The visual state-space block of VMamba, channels last; names and shapes of its parameters are the official ones.

B batch, H, W map, C channels, N states, R = dt_rank.
"""
from __future__ import annotations

import math

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.ops.cross_scan import DIRECTIONS
from rsgmamba_ros.ops.layers import add_layer_norm, depthwise_silu, gelu, layer_norm
from rsgmamba_ros.ops.selective_scan.contract import selective_scan_map

DT_MIN, DT_MAX = 1e-3, 1e-1  # initial step sizes, as in Mamba
LARGE_BYTES = 16 * 2 ** 20   # an activation above it is made in pieces on a CPU while no gradient is wanted
PIECE_BYTES = 4 * 2 ** 20


class LayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of a channels-last map, whose weights may stay float32 beside other dtypes."""

    def forward(self, features: Tensor) -> Tensor:
        """(..., C) -> the same shape."""
        return layer_norm(features, self.weight, self.bias, self.eps)

    def after_adding(self, features: Tensor, branch: Tensor) -> tuple[Tensor, Tensor]:
        """`features + branch`, and that normalised."""
        return add_layer_norm(features, branch, self.weight, self.bias, self.eps)


class SelectiveScan2D(nn.Module):
    """A selective scan of a map in four directions, with its input-dependent step, B and C."""

    def __init__(self, channels: int, *, states: int, dt_rank: int):
        super().__init__()
        self.states = states
        self.dt_rank = dt_rank
        self.scan_backend = 'auto'
        bound = channels ** -0.5
        self.x_proj_weight = nn.Parameter(
            torch.empty(DIRECTIONS, dt_rank + 2 * states, channels).uniform_(-bound, bound))
        self.dt_projs_weight = nn.Parameter(
            torch.empty(DIRECTIONS, channels, dt_rank).uniform_(-dt_rank ** -0.5, dt_rank ** -0.5))
        step = torch.empty(DIRECTIONS, channels).uniform_(math.log(DT_MIN), math.log(DT_MAX)).exp()
        self.dt_projs_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # softplus(bias) = step
        decay = torch.arange(1, states + 1, dtype=torch.float32).log()
        self.A_logs = nn.Parameter(decay.repeat(DIRECTIONS * channels, 1))
        self.Ds = nn.Parameter(torch.ones(DIRECTIONS * channels))

    def project(self, features: Tensor) -> Tensor:
        """Step, B and C of every pixel and direction, (B, H, W, C) -> (B, H, W, 4, R + 2N)."""
        projected = F.linear(features, self.x_proj_weight.flatten(0, 1))
        return projected.view(*projected.shape[:-1], *self.x_proj_weight.shape[:2])

    def scan(self, features: Tensor, projected: Tensor) -> Tensor:
        """Sum of the four scans, (B, H, W, C)."""
        A = -torch.exp(self.A_logs.float())
        return selective_scan_map(
            features, projected, self.dt_projs_weight, self.dt_projs_bias, A.view(DIRECTIONS, -1, self.states),
            self.Ds.view(DIRECTIONS, -1), backend=self.scan_backend)


class SS2D(SelectiveScan2D):
    """VMamba's token mixer, forward type v05_noz: projection, depth-wise 3x3, SiLU, scan, norm, projection."""

    def __init__(self, dim: int, *, states: int, ratio: float):
        channels = int(dim * ratio)
        super().__init__(channels, states=states, dt_rank=math.ceil(dim / 16))
        self.in_proj = nn.Linear(dim, channels, bias=False)
        self.conv2d = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.out_norm = LayerNorm(channels)
        self.out_proj = nn.Linear(channels, dim, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) -> the same shape."""
        features = depthwise_silu(self.in_proj(features), self.conv2d.weight)
        mixed: Tensor = self.out_proj(self.out_norm(self.scan(features, self.project(features))))
        return mixed


class Mlp(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, features: Tensor) -> Tensor:
        """(..., C) -> the same shape."""
        hidden_bytes = features[..., 0].numel() * self.fc1.out_features * features.element_size()
        if (hidden_bytes <= LARGE_BYTES or features.device.type != 'cpu' or torch.is_grad_enabled()
                or torch.compiler.is_compiling()):
            result: Tensor = self.fc2(gelu(self.fc1(features)))
            return result
        # Fresh memory costs a page fault each 4 KiB; a piece is used again and again, and stays in the cache.
        rows = features.flatten(0, -2)
        pieces = rows.tensor_split(-(-hidden_bytes // PIECE_BYTES))
        output = torch.empty_like(rows)
        for piece, target in zip(pieces, output.tensor_split(len(pieces))):
            target.copy_(self.fc2(gelu(self.fc1(piece))))
        return output.view(features.shape)


class DropPath(nn.Module):
    """Leave out a residual branch for some batch items while training."""

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:
        """Zero whole batch items with the probability, scale the others so that the mean stays."""
        if not self.training or self.probability == 0:
            return branch
        keep = 1 - self.probability
        kept = torch.rand(branch.shape[0], *[1] * (branch.ndim - 1), device=branch.device) < keep
        return branch * (kept.to(branch.dtype) / keep)


class VSSBlock(nn.Module):
    """`x = x + op(norm(x)); x = x + mlp(norm2(x))`."""

    def __init__(self, dim: int, *, states: int, ratio: float, mlp_ratio: float, drop_path: float = 0):
        super().__init__()
        self.norm = LayerNorm(dim)
        self.op = SS2D(dim, states=states, ratio=ratio)
        self.norm2 = LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) -> the same shape."""
        features, normalised = self.norm2.after_adding(features, self.drop_path(self.op(self.norm(features))))
        result: Tensor = features + self.drop_path(self.mlp(normalised))
        return result
