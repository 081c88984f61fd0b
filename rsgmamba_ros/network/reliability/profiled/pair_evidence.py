"""What the two images of a pair show together: common edges, where holes lie, how high the camera stands. [ours]

Where depth or temperature jumps, RGB nearly always has an edge. The correlation of the edges at every small shift is a
landscape whose peak lies at the shift between the two cameras.

B batch, H, W image, h, w at half the resolution.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.encoders.depth_channels import fill_holes, LEAST_VALID
from rsgmamba_ros.network.reliability.profiled.evidence import Evidence, SMALLEST_SHARE

#: Greatest shift between the images that is looked at, cells of two pixels, and shifts a side.
RADIUS = 4
SIDE = 2 * RADIUS + 1


def pair_evidence(rgb: Tensor, depth: Tensor, log_range: float) -> Evidence:
    """Statistics of pairs: common edges at every small shift, where holes lie, height above the floor.

    Args:
        rgb: (B, 3, H, W) in 0..1.
        depth: (B, 1, H, W), normalised.
        log_range: see `depth_evidence`.

    Returns:
        `cells` are the two landscapes over the shifts, of the edges of the distances and of the rims of the holes,
        (B, 2, SIDE^2): correlation coefficients.
    """
    valid = (depth > LEAST_VALID).to(depth.dtype)
    filled = fill_holes(depth, valid)
    grey = rgb.mean(1, keepdim=True)
    small = F.avg_pool2d(grey, 2)
    known = F.avg_pool2d(valid, 2)
    distances = F.avg_pool2d(filled, 2) * log_range
    steep, whole = _differences(distances), 1 - F.max_pool2d(1 - known, 3, stride=1, padding=1)[..., 1:-1, 1:-1]
    own = _differences(small)
    strength = (own.square().sum(1, keepdim=True) + 1e-12).sqrt()
    edges = _structure(own, strength.mean((1, 2, 3), keepdim=True) + 0.01)
    landscapes = torch.stack((_landscape(edges, _structure(steep, 0.05) * whole),
                              _landscape(edges, _structure(_differences(known), 0.5))), dim=1)
    values = torch.cat((_holes_by_look(grey, valid), _floor(filled, valid, log_range)), dim=-1)
    return Evidence(values, landscapes, rgb.new_zeros(len(rgb)))


def _differences(image: Tensor) -> Tensor:
    """Central differences across and down, (B, 1, h, w) -> (B, 2, h - 2, w - 2)."""
    return torch.cat((image[..., 1:-1, 2:] - image[..., 1:-1, :-2], image[..., 2:, 1:-1] - image[..., :-2, 1:-1]), 1)


def _structure(differences: Tensor, floor: Tensor | float) -> Tensor:
    """Direction of the edges without their sign, (B, 2, h, w) -> (B, 3, h, w); weak edges, below `floor`, fade.

    The product of two such maps is the square of the cosine between the edges, as in normalised gradient fields
    (Haber and Modersitzki, MICCAI 2006), less its mean.
    """
    across, down = differences.unbind(1)
    weakest = floor if isinstance(floor, float) else floor[:, 0]
    strength = (across.square() + down.square() + weakest ** 2).reciprocal()
    maps = torch.stack((across.square() * strength, down.square() * strength, 2 ** 0.5 * across * down * strength), 1)
    return maps - maps.mean((2, 3), keepdim=True)


def _landscape(edges: Tensor, other: Tensor) -> Tensor:
    """Correlation of two maps of edges at every shift of the other one, (B, 3, h, w) twice -> (B, SIDE^2)."""
    height, width = (side - 2 * RADIUS for side in other.shape[-2:])
    inside = other[..., RADIUS:RADIUS + height, RADIUS:RADIUS + width]
    total = (edges.square().sum((1, 2, 3)) * inside.square().sum((1, 2, 3)) + 1e-6).sqrt()
    return torch.stack([(inside * edges[..., y:y + height, x:x + width]).sum((1, 2, 3)) / total
                        for y in range(SIDE) for x in range(SIDE)], dim=-1)


#: Limits of brightness and of the local contrast that tell surfaces apart, and how many pixels a kind must have.
_DARK, _BRIGHT, _FLAT, _TEXTURED, _FEWEST = 0.15, 0.6, 0.01, 0.04, 0.01


def _holes_by_look(grey: Tensor, valid: Tensor) -> Tensor:
    """Log-odds of a hole by brightness and texture, (B, 1, H, W) twice -> (B, 9); 0 holes' share where there is none.

    Dark surfaces return little light and flat ones nothing to match, so a camera has its holes there; a failure has
    them anywhere.
    """
    small, hole = F.avg_pool2d(grey, 4), 1 - F.avg_pool2d(valid, 4)
    contrast = (F.avg_pool2d(F.avg_pool2d(grey.square(), 4), 5, stride=1, padding=2)
                - F.avg_pool2d(small, 5, stride=1, padding=2).square()).clamp_min(0).sqrt()
    overall = hole.mean((1, 2, 3))
    brightness = (small < _DARK, (small >= _DARK) & (small <= _BRIGHT), small > _BRIGHT)
    texture = (contrast < _FLAT, (contrast >= _FLAT) & (contrast <= _TEXTURED), contrast > _TEXTURED)
    shares = []
    for bright in brightness:
        for rough in texture:
            kind = (bright & rough).to(hole.dtype)
            count = kind.sum((1, 2, 3))
            few = _FEWEST * kind[0].numel()
            shares.append(((hole * kind).sum((1, 2, 3)) + few * overall) / (count + few))
    share = torch.stack(shares, dim=-1)
    odds = (share + SMALLEST_SHARE).log() - (1 - share + SMALLEST_SHARE).log()
    own = (overall + SMALLEST_SHARE).log() - (1 - overall + SMALLEST_SHARE).log()
    return odds - own[:, None]


def _floor(filled: Tensor, valid: Tensor, log_range: float) -> Tensor:
    """Height of the camera above surfaces that face up, as logarithms, (B, 1, H, W) -> (B, 6).

    Quantiles of the height, weighted mean, and the share of the image that faces up.
    """
    logs = F.avg_pool2d(filled, 4) * log_range
    known = (F.avg_pool2d(valid, 4) > 0.7).to(filled.dtype)
    height, width = logs.shape[-2:]
    focal = 0.9 * width
    v = (torch.arange(height, device=logs.device, dtype=logs.dtype) - (height - 1) / 2) / focal
    u = (torch.arange(width, device=logs.device, dtype=logs.dtype) - (width - 1) / 2) / focal
    smooth = F.avg_pool2d(F.pad(logs, [1] * 4, mode='replicate'), 3, stride=1)
    padded = F.pad(smooth, [1] * 4, mode='replicate')
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) * (focal / 2)
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) * (focal / 2)
    # The normal of a surface z(u, v) in the camera's frame is (z_u, z_v, -(z + u z_u + v z_v)), here divided by z.
    third = 1 + u * across + v[:, None] * down
    length = (across.square() + down.square() + third.square()).sqrt().clamp_min(1e-3)
    up = down / length                       # cosine to the image's downward axis: distances grow upwards on a floor
    distance = (1.0 / length).log() + logs   # of the plane through the pixel from the camera
    weight = known * ((-up - 0.6) * 5).clamp(0, 1)
    total = weight.sum((1, 2, 3))
    share = total / known[0].numel()
    mean = (weight * distance).sum((1, 2, 3)) / total.clamp_min(1.0)
    spread = ((weight * (distance - mean[:, None, None, None]).square()).sum((1, 2, 3)) / total.clamp_min(1.0)).sqrt()
    seen = (total > 20).to(logs.dtype)
    limits = torch.arange(-1.2, 1.3, 0.1, device=logs.device, dtype=logs.dtype)
    below = torch.stack([(weight * torch.sigmoid((limit - distance) / 0.05)).sum((1, 2, 3)) for limit in limits], -1)
    below = below / total.clamp_min(1.0)[:, None]
    quantiles = [limits[0] + 0.1 * (below < level).to(logs.dtype).sum(-1) for level in (0.5, 0.8, 0.95)]
    return torch.stack((*(value * seen for value in quantiles), mean * seen, spread * seen,
                        (share + 1e-3).log()), dim=-1)
