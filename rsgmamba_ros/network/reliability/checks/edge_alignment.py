"""Do two sensors see the same edges in the same places? Evidence for the reliability head. [ours]

Where depth or temperature jumps, RGB nearly always has an edge. Weighing RGB's edges by the other image's jumps, at
every small shift, gives a landscape whose peak lies at the shift between the two cameras: at 0 when all is well.
Nothing is learned here.
"""
from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn import functional as F

RADIUS = 4                       # greatest shift, cells of half the image's resolution
SIDE = 2 * RADIUS + 1
JUMP, GREATEST_JUMP = 0.08, 0.6  # of the normalised auxiliary image, between pixels two apart
NEIGHBOURHOOD = (7, 15)          # cells in which RGB's edges are compared with one another
FLOOR = 0.05                     # edges weaker than that of a flat neighbourhood do not count
SHARPNESS = 20.0                 # of the soft peak


class EdgeAlignment(nn.Module):
    """Landscape over the shifts, and what it says of its peak."""

    size = SIDE * SIDE + 4

    def forward(self, rgb: Tensor, auxiliary: Tensor) -> Tensor:
        """Compare.

        Args:
            rgb: (B, 3, H, W), normalised.
            auxiliary: likewise, of the same size; its three channels are equal.

        Returns:
            (B, size): the landscape by its peak, how far 0 lies below the peak, the peak's distance from 0, the
            height at 0, and that against the mean.
        """
        landscape = _landscape(F.avg_pool2d(rgb.mean(1, keepdim=True), 3, stride=1, padding=1), auxiliary[:, :1])
        peak = landscape.amax(-1, keepdim=True).clamp_min(1e-3)
        relative, centre = landscape / peak, SIDE * SIDE // 2
        shifts = torch.arange(-RADIUS, RADIUS + 1, device=rgb.device, dtype=rgb.dtype)
        share = torch.softmax(SHARPNESS * (landscape - peak), dim=-1).view(-1, SIDE, SIDE)
        distance = ((share.sum(2) @ shifts) ** 2 + (share.sum(1) @ shifts) ** 2 + 1e-6).sqrt()
        mean, height = landscape.mean(-1).clamp_min(1e-3), landscape[:, centre]
        # Larger than what stands beside them: a linear layer would need long to find out that these tell most.
        summary = (20 * (1 - relative[:, centre]), distance, 4 * (height - 1),
                   4 * (height.clamp_min(1e-3) / mean).log())
        return torch.cat((relative - 0.5, torch.stack(summary, dim=-1)), dim=-1)


def _landscape(rgb: Tensor, auxiliary: Tensor) -> Tensor:
    """Mean strength of RGB's edges at the other image's jumps, for every shift; (B, 1, H, W) twice -> (B, SIDE^2)."""
    edges = F.avg_pool2d(_gradient(rgb), 2)
    pad = (NEIGHBOURHOOD[0] // 2, NEIGHBOURHOOD[1] // 2)
    edges = edges / (F.avg_pool2d(edges, NEIGHBOURHOOD, stride=1, padding=pad, count_include_pad=False) + FLOOR)
    jumps = F.avg_pool2d((_gradient(auxiliary) - JUMP).clamp(0.0, GREATEST_JUMP), 2)
    height, width = (side - 2 * RADIUS for side in jumps.shape[-2:])
    jumps = jumps[:, 0, RADIUS:RADIUS + height, RADIUS:RADIUS + width]
    total = jumps.sum((1, 2)) + 1e-3
    edges = edges[:, 0]
    return torch.stack([(jumps * edges[:, y:y + height, x:x + width]).sum((1, 2)) / total
                        for y in range(SIDE) for x in range(SIDE)], dim=-1)


def _gradient(image: Tensor) -> Tensor:
    """Magnitude of the central differences, (B, 1, H, W) -> (B, 1, H - 2, W - 2)."""
    across = image[..., 1:-1, 2:] - image[..., 1:-1, :-2]
    down = image[..., 2:, 1:-1] - image[..., :-2, 1:-1]
    return (across * across + down * down + 1e-12).sqrt()
