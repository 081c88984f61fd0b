"""Feature map <-> four sequences: row-major, column-major, and both reversed, in VMamba's order.

B batch, C channels, H, W map, L = H * W.
"""
from __future__ import annotations

import torch
from torch import Tensor

DIRECTIONS = 4


def cross_scan(maps: Tensor) -> Tensor:
    """Read one map in the four directions.

    Args:
        maps: (B, C, H, W), or (B, 4, C, H, W) to give every direction a map of its own.

    Returns:
        (B, 4, C, L).
    """
    if maps.ndim == 4:
        maps = maps.unsqueeze(1).expand(-1, DIRECTIONS, -1, -1, -1)
    columns = maps.transpose(-1, -2)
    return torch.stack((
        maps[:, 0].flatten(-2), columns[:, 1].flatten(-2),
        maps[:, 2].flatten(-2).flip(-1), columns[:, 3].flatten(-2).flip(-1)), dim=1)


def cross_merge(sequences: Tensor, height: int, width: int) -> Tensor:
    """Put four sequences back on the map and sum them: the adjoint of `cross_scan`.

    Args:
        sequences: (B, 4, C, L) with L = height * width.

    Returns:
        (B, C, H, W).
    """
    rows = sequences[:, 0] + sequences[:, 2].flip(-1)
    columns = sequences[:, 1] + sequences[:, 3].flip(-1)
    return torch.unflatten(rows, -1, (height, width)) + torch.unflatten(columns, -1, (width, height)).transpose(-1, -2)
