"""Departures from what is normal, in the forms that the members of a `ProfiledHead` take.

B batch, V values, C figures a cell, G cells, S side of a landscape.
"""
from __future__ import annotations

import torch
from torch import Tensor

from rsgmamba_ros.network.reliability.profiled.pair_evidence import SIDE

#: Greatest shift, cells, at which a landscape is compared with the usual one.
REACH = 3
PEAK_SHARPNESS, MATCH_SHARPNESS = 60.0, 12.0
LARGEST_CELLS = 5
CHUNK = 8                 # neighbouring figures whose departures are pooled


def compressed(departures: Tensor) -> Tensor:
    """Signed logarithm: a departure of 100 deviations says little more than one of 20."""
    return departures.sign() * departures.abs().log1p()


def _soft_peak(heights: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """Where the peak of square landscapes lies, (B, N, S, S) -> x and y from their middle, (B, N) each."""
    side = heights.shape[-1]
    share = torch.unflatten(torch.softmax(sharpness * heights.flatten(2), dim=-1), -1, (side, side))
    shifts = torch.arange(side, device=heights.device, dtype=heights.dtype) - side // 2
    return share.sum(2) @ shifts, share.sum(3) @ shifts


def peaks_of(landscapes: Tensor) -> Tensor:
    """Position and height of the peak, the middle's height below it, and the spread, (B, 2, SIDE^2) -> (B, 12)."""
    x, y = _soft_peak(torch.unflatten(landscapes, -1, (SIDE, SIDE)), PEAK_SHARPNESS)
    peak = landscapes.amax(-1)
    return torch.stack((x, y, (x.square() + y.square() + 1e-12).sqrt(), peak, landscapes[..., SIDE * SIDE // 2] - peak,
                        landscapes.std(-1, unbiased=False)), dim=-1).flatten(1)


def chunked(departures: Tensor) -> Tensor:
    """Size of the departures of neighbouring figures together, (B, V) -> (B, V / CHUNK); a rest is left out."""
    whole = departures.shape[1] // CHUNK * CHUNK
    chunks: Tensor = torch.unflatten(departures[:, :whole], 1, (-1, CHUNK))
    return chunks.square().mean(-1).clamp_max(1e6).sqrt().log1p()


def pooled_cells(departures: Tensor, figures: int) -> Tensor:
    """Of each figure of the cells the mean, largest, and mean of the largest departures, (B, C G) -> (B, 4 C)."""
    cells = torch.unflatten(departures, 1, (figures, -1))
    sizes = cells.abs().sort(-1).values
    largest = sizes[..., -LARGEST_CELLS:].mean(-1)
    return torch.stack((sizes.mean(-1).log1p(), sizes[..., -1].log1p(), largest.log1p(),
                        compressed(cells.mean(-1))), dim=-1).flatten(1)


def match_of(landscapes: Tensor, usual: Tensor) -> Tensor:
    """How landscapes match the usual ones at every shift up to `REACH`, (B, 2 SIDE^2) twice -> (B, 2 (SHIFTS + 5)).

    Correlation coefficients of what overlaps; then of the match unshifted, how much better the best shift matches, and
    how far that lies away.
    """
    own, other = (torch.unflatten(value, 1, (2, SIDE, SIDE)) for value in (landscapes, usual))
    matches = []
    for down in range(-REACH, REACH + 1):
        for across in range(-REACH, REACH + 1):
            moved = own[..., max(down, 0):SIDE + min(down, 0), max(across, 0):SIDE + min(across, 0)]
            fixed = other[..., max(-down, 0):SIDE + min(-down, 0), max(-across, 0):SIDE + min(-across, 0)]
            moved = moved - moved.mean((2, 3), keepdim=True)
            fixed = fixed - fixed.mean((2, 3), keepdim=True)
            size = (moved.square().sum((2, 3)) * fixed.square().sum((2, 3)) + 1e-12).sqrt() + 1e-3
            matches.append((moved * fixed).sum((2, 3)) / size)
    match = torch.stack(matches, dim=-1)
    side = 2 * REACH + 1
    x, y = _soft_peak(torch.unflatten(match, -1, (side, side)), MATCH_SHARPNESS)
    centre = match[..., side * side // 2]
    summary = torch.stack((centre, 5 * (match.amax(-1) - centre), (x.square() + y.square() + 1e-12).sqrt(),
                           x.abs(), y.abs()), dim=-1)
    return torch.cat((match, summary), dim=-1).flatten(1)
