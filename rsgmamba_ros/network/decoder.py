"""Fused maps -> logits at stride 4: laterals, top-down sum with one VSS block a level, concatenation, classifier.

Source: [ours]. Maps are channels last.
"""
from __future__ import annotations

from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.encoders.vss_block import LayerNorm, VSSBlock
from rsgmamba_ros.ops.layers import gelu


def resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, (B, H, W, C) -> (B, *size, C)."""
    maps = features.permute(0, 3, 1, 2)
    return F.interpolate(maps, size=size, mode='bilinear', align_corners=False).permute(0, 2, 3, 1)


class Decoder(nn.Module):
    """Pyramid decoder of one width."""

    def __init__(self, dims: tuple[int, ...], *, width: int, classes: int, states: int, mlp_ratio: float):
        super().__init__()
        self.laterals = nn.ModuleList(nn.Linear(dim, width) for dim in dims)
        self.blocks = nn.ModuleList(
            VSSBlock(width, states=states, ratio=1.0, mlp_ratio=mlp_ratio) for _ in dims)
        # One 1x1 over the concatenation, kept in parts: a 1x1 and a resize commute, so each level is projected small.
        self.gather = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in dims)
        self.norm = LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, fused: list[Tensor]) -> Tensor:
        """Decode.

        Args:
            fused: for each stage, finest first, (B, H_s, W_s, C_s).

        Returns:
            (B, H_0, W_0, K).
        """
        size = (fused[0].shape[1], fused[0].shape[2])
        above, gathered = None, None
        for level in reversed(range(len(fused))):
            current = self.laterals[level](fused[level])
            if above is not None:
                current = current + resize(above, (current.shape[1], current.shape[2]))
            above = self.blocks[level](current)
            part = self.gather[level](above)
            part = part if level == 0 else resize(part, size)
            gathered = part if gathered is None else gathered + part
        logits: Tensor = self.classifier(gelu(self.norm(gathered)))
        return logits


def enlarge(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, (B, K, h, w) -> (B, K, *size), float32."""
    return F.interpolate(logits.float(), size=size, mode='bilinear', align_corners=False)
