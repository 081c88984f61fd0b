"""Scenes for the tests of reliability: rooms with a floor, and flat boxes.

The rooms have a floor below a camera that is tilted at random, and a wall ahead.
"""
from __future__ import annotations

import torch

from rsgmamba_ros.network.reliability.checks.edge_alignment import EdgeAlignment
from rsgmamba_ros.network.reliability.checks.floor_height import floor_share
from rsgmamba_ros.network.reliability.contract import Observation, ReferenceImages
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH = AXIS = (Modality.RGB, Modality.DEPTH)
HEIGHT, WIDTH, FOCAL = 96, 128, 0.8
UNIT = 0.7


def rooms(count: int, seed: int, *, camera: float = 1.4) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Features that know the floor but for some noise, normalised depth, and the share of the floor in each cell."""
    generator = torch.Generator().manual_seed(seed)
    pitch = 0.25 + 0.15 * torch.rand(count, generator=generator)
    height = camera * (1 + 0.03 * torch.randn(count, generator=generator))
    wall = 3 + 3 * torch.rand(count, generator=generator)
    down = ((torch.arange(HEIGHT) + 0.5 - HEIGHT / 2) / (FOCAL * WIDTH)).view(1, -1, 1)
    pitch, height, wall = (value.view(-1, 1, 1) for value in (pitch, height, wall))
    below = pitch.sin() + down * pitch.cos()  # of the ray's direction, per unit of depth
    to_floor = torch.where(below > 0.02, height / below.clamp_min(0.02), torch.inf)
    to_wall = wall / (pitch.cos() - down * pitch.sin())
    depth = torch.minimum(to_floor, to_wall).expand(-1, HEIGHT, WIDTH)
    floor = (to_floor < to_wall).float().expand(-1, HEIGHT, WIDTH)
    share = torch.stack([floor_share(one, 1, (HEIGHT, WIDTH)) for one in floor])
    fine = torch.stack((share, torch.rand(share.shape, generator=generator)), dim=-1)
    fine = fine + 0.05 * torch.randn(fine.shape, generator=generator)
    coarse = torch.rand(count, HEIGHT // 32, WIDTH // 32, 1, generator=generator)
    return [fine, coarse], (depth.log() / UNIT - 1)[:, None].contiguous(), share


def boxes(seed: int = 0) -> torch.Tensor:
    """(1, 1, 96, 128): flat boxes of several brightnesses on a flat ground."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(96, 128)
    for _ in range(12):
        top, left, height, width = (int(torch.randint(8, limit, (), generator=generator))
                                    for limit in (70, 100, 24, 24))
        image[top:top + height, left:left + width] = torch.rand((), generator=generator) * 2 - 1
    return image[None, None]


def reference(*, auxiliary: torch.Tensor | None = None, rgb_features: list[torch.Tensor] | None = None,
              floor: torch.Tensor | None = None, unit: float | None = UNIT, edges: torch.Tensor | None = None,
              aligned: torch.Tensor | None = None) -> ReferenceImages:
    """Reference images of which a test gives what its check looks at; the rest is noise of (60, ...)."""
    generator = torch.Generator().manual_seed(9)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(60, *shape, generator=generator)
    return ReferenceImages(
        auxiliary=noise(1, 32, 32) if auxiliary is None else auxiliary,
        rgb_features=[noise(2, 2, 8), noise(1, 1, 8)] if rgb_features is None else rgb_features,
        floor=floor, log_distance_unit=unit,
        edges=noise(EdgeAlignment.size) if edges is None else edges,
        aligned=torch.arange(60.0) % 2 if aligned is None else aligned)


def observation(*, images: dict[Modality, torch.Tensor] | None = None, rgb_features: list[torch.Tensor] | None = None,
                edges: torch.Tensor | None = None) -> Observation:
    """An observation of which a test gives what its check looks at."""
    return Observation(images or {}, {RGB: rgb_features or []}, torch.empty(0, 0) if edges is None else edges)
