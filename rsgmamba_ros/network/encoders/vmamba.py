"""VMamba: an image -> four feature maps at strides 4, 8, 16, 32, channels last.

Parameter names and shapes are those of the official `vssm1_tiny_0230s`, without its classifier and with one output
norm a stage (`outnorm0` .. `outnorm3`).
"""
from __future__ import annotations

import torch
from torch import nn, Tensor

from rsgmamba_ros.network.encoders.contract import Encoder
from rsgmamba_ros.network.encoders.vss_block import LayerNorm, VSSBlock
from rsgmamba_ros.vocabulary.images import Modality


class Permute(nn.Module):
    """A view with other axes; it holds the places of VMamba's permutations in the checkpoint's key names."""

    def __init__(self, *axes: int):
        super().__init__()
        self.axes = axes

    def forward(self, tensor: Tensor) -> Tensor:
        """Permute, without a copy."""
        return tensor.permute(self.axes)


def to_channels_last() -> Permute:
    """(B, C, H, W) -> (B, H, W, C)."""
    return Permute(0, 2, 3, 1)


def to_channels_first() -> Permute:
    """(B, H, W, C) -> (B, C, H, W), in torch's channels_last memory format."""
    return Permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Blocks at one stride, and the way down to the next one where there is one."""

    def __init__(self, blocks: list[VSSBlock], downsample: nn.Module | None):
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        if downsample is not None:
            self.downsample = downsample


class VMambaEncoder(Encoder):
    """One encoder for every modality."""

    def __init__(self, dims: tuple[int, ...], depths: tuple[int, ...], *, states: int, ratio: float, mlp_ratio: float,
                 drop_path: float):
        super().__init__()
        stem = dims[0] // 2
        self.patch_embed = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=2, padding=1), to_channels_last(), LayerNorm(stem), to_channels_first(),
            nn.GELU(), nn.Conv2d(stem, dims[0], 3, stride=2, padding=1), to_channels_last(), LayerNorm(dims[0]))
        rates = iter(drop_path * block / max(sum(depths) - 1, 1) for block in range(sum(depths)))
        self.layers = nn.ModuleList()
        for stage, (dim, depth) in enumerate(zip(dims, depths)):
            blocks = [VSSBlock(dim, states=states, ratio=ratio, mlp_ratio=mlp_ratio, drop_path=next(rates))
                      for _ in range(depth)]
            following = dims[stage + 1] if stage + 1 < len(dims) else None
            downsample = None if following is None else nn.Sequential(
                to_channels_first(), nn.Conv2d(dim, following, 3, stride=2, padding=1), to_channels_last(),
                LayerNorm(following))
            self.layers.append(Stage(blocks, downsample))
            setattr(self, f'outnorm{stage}', LayerNorm(dim))

    def forward(self, images: Tensor, modality: Modality = Modality.RGB) -> list[Tensor]:
        """See `Encoder`; every modality is encoded alike."""
        dtype = next(self.patch_embed.parameters()).dtype
        features = self.patch_embed(images.to(dtype, memory_format=torch.channels_last))
        outputs = []
        for stage, layer in enumerate(self.layers):
            assert isinstance(layer, Stage)
            features = layer.blocks(features)
            outputs.append(getattr(self, f'outnorm{stage}')(features))
            if stage + 1 < len(self.layers):
                features = layer.downsample(features)
        return outputs
