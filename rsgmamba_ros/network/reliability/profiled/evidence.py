"""What the images of a pair show of the health of their sensors: plain statistics, nothing learned. [ours]

Each entry is a share of pixels beyond a limit (as log-odds), a mean, or a figure of one cell of a coarse grid; what two
images show together is in `pair_evidence`. What is normal differs from camera to camera, so an entry means little until
it is compared with a `SensorProfile` or with what is normal over many sensors.

B batch, H, W image, V entries, G cells of the grid.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.encoders.depth_channels import LEAST_VALID
from rsgmamba_ros.vocabulary.images import Modality

#: Rows and columns of the grid of cells.
GRID = (6, 8)
CELLS = GRID[0] * GRID[1]
#: Share of pixels that counts as none.
SMALLEST_SHARE = 3e-4
#: Pixels of the border band in which holes are counted apart, as a share of the side.
BAND = 1 / 16

_LUMINANCE = (0.02, 0.06, 0.12, 0.25, 0.4, 0.6, 0.8, 0.94, 0.985)
_SATURATION = (0.03, 0.08, 0.15, 0.3, 0.5)
_FINE = (0.004, 0.008, 0.016, 0.03, 0.06, 0.12, 0.25, 0.5)
_COARSE = (0.008, 0.016, 0.03, 0.06, 0.12, 0.25)
#: Metres, as logarithms: how the distances are distributed.
_DISTANCES = (-1.4, -0.9, -0.5, -0.2, 0.0, 0.4, 0.7, 0.9, 1.05, 1.2, 1.4, 1.6, 1.8, 2.1)
_STEPS = (2e-5, 1e-3, 2e-3, 4e-3, 8e-3, 0.016, 0.03, 0.06, 0.12, 0.25)
_BENDS = (2e-5, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 0.016, 0.03, 0.06, 0.12)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Statistics of some image, or of a pair.

    Attributes:
        values: (B, V).
        cells: figures of the grid's cells, (B, F, G): F figures a cell.
        level: mean brightness, distance (its logarithm) or temperature, (B,).
    """

    values: Tensor
    cells: Tensor
    level: Tensor


def rgb_evidence(rgb: Tensor) -> Evidence:
    """Statistics of RGB images, (B, 3, H, W) in 0..1: brightness, colour, sharpness at three scales, noise, cells."""
    grey = rgb.mean(1, keepdim=True)
    colour = rgb.amax(1) - rgb.amin(1)
    chroma = rgb[:, :1] - rgb[:, 1:2]
    shares, per_cell = _look(grey)
    values = torch.cat((
        shares['brightness'], _shares(colour[:, None], _SATURATION), shares['fine'],
        _shares(_bend(chroma), _FINE[:6]), shares['coarse'], rgb.mean((2, 3)), rgb.std((2, 3)),
        _summary(per_cell)), dim=-1)
    return Evidence(values, per_cell, grey.mean((1, 2, 3)))


def thermal_evidence(thermal: Tensor, log_range: float) -> Evidence:
    """Statistics of normalised thermal images, (B, 1, H, W): as of RGB without colour, and stripes.

    Args:
        log_range: not used; see `depth_evidence`.
    """
    valid = (thermal > LEAST_VALID).to(thermal.dtype)
    grey = torch.where(valid > 0, thermal / 4 + 0.5, 0.5)
    shares, per_cell = _look(grey)
    columns, rows = grey.mean(2, keepdim=True), grey.mean(3, keepdim=True)
    stripes = torch.stack([(line[..., 1:-1] - 0.5 * (line[..., 2:] + line[..., :-2])).abs().mean((1, 2, 3))
                           for line in (columns, rows.transpose(2, 3))], dim=-1)
    values = torch.cat((shares['brightness'], shares['fine'], shares['coarse'], grey.mean((2, 3)), grey.std((2, 3)),
                        (stripes + 1e-4).log(), _holes(valid)[:, :1], _summary(per_cell)), dim=-1)
    return Evidence(values, per_cell, grey.mean((1, 2, 3)))


def _look(grey: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Brightness, sharpness and noise of images, (B, 1, H, W) in 0..1: shares (B, ...) by name, and (B, 4, G)."""
    half, quarter = F.avg_pool2d(grey, 2), F.avg_pool2d(grey, 4)
    steps, bends = _gradient(grey), _bend(grey)
    maps = torch.cat((grey, grey.square(), F.pad(steps, [1] * 4), F.pad(bends, [1] * 4)), 1)
    mean, square, edge, bend = F.adaptive_avg_pool2d(maps, GRID).flatten(2).unbind(1)
    contrast = (square - mean.square()).clamp_min(0)
    per_cell = torch.stack((mean, (edge + 1e-3).log(), (bend + 1e-3).log(), 0.5 * (contrast + 1e-5).log()), dim=1)
    shares = {
        'brightness': _shares(grey, _LUMINANCE),
        'fine': torch.cat((_shares(steps, _FINE), _shares(bends, _FINE), _shares(_isolation(grey), _FINE[2:])), dim=-1),
        'coarse': torch.cat([_shares(kind(image), _COARSE) for image in (half, quarter) for kind in (_gradient, _bend)],
                            dim=-1)}
    return shares, per_cell


def depth_evidence(depth: Tensor, log_range: float) -> Evidence:
    """Statistics of normalised depth images, (B, 1, H, W): holes, distances, noise, steps, cells.

    Args:
        log_range: see `depth_channels`; the distances' logarithm is taken at 0 for the middle of the range.
    """
    valid = (depth > LEAST_VALID).to(depth.dtype)
    logs = depth * log_range
    across, down = valid[..., 1:] * valid[..., :-1], valid[..., 1:, :] * valid[..., :-1, :]
    step_across, step_down = (logs[..., 1:] - logs[..., :-1]), (logs[..., 1:, :] - logs[..., :-1, :])
    bent_across = across[..., 1:] * across[..., :-1]
    bent_down = down[..., 1:, :] * down[..., :-1, :]
    bend_across = (step_across[..., 1:] - step_across[..., :-1]).abs()
    bend_down = (step_down[..., 1:, :] - step_down[..., :-1, :]).abs()
    middle = logs[..., 1:-1]
    near, far = bent_across * (middle < -0.1), bent_across * (middle > 0.5)
    noise = bend_across * torch.exp(-middle)  # in disparity: the noise of stereo and structured light is even there
    coarse_valid = F.avg_pool2d(valid, 4)
    coarse = F.avg_pool2d(logs * valid, 4) / coarse_valid.clamp_min(0.1)
    inside = (coarse_valid > 0.5).to(depth.dtype)
    coarse_across = inside[..., 1:] * inside[..., :-1]
    holes = _holes(valid)
    pooled = F.adaptive_avg_pool2d(torch.cat((valid, logs * valid), 1), GRID).flatten(2)
    rough = F.adaptive_avg_pool2d(F.pad(bend_across * bent_across, [1, 1]), GRID).flatten(2)[:, 0]
    counted = F.adaptive_avg_pool2d(F.pad(bent_across, [1, 1]), GRID).flatten(2)[:, 0]
    share = pooled[:, 0]
    per_cell = torch.stack((share, pooled[:, 1] / share.clamp_min(0.05), ((rough + 1e-5) / (counted + 1e-2)).log()), 1)
    level = (logs * valid).sum((1, 2, 3)) / valid.sum((1, 2, 3)).clamp_min(1)
    values = torch.cat((
        holes, _shares(logs, tuple(edge + _MIDDLE for edge in _DISTANCES), valid), level[:, None],
        _shares(step_across.abs(), _STEPS, across), _shares(step_down.abs(), _STEPS, down),
        _shares(bend_across, _BENDS, bent_across), _shares(bend_down, _BENDS, bent_down),
        _shares(bend_across, _BENDS[2:8], near), _shares(bend_across, _BENDS[2:8], far),
        _shares(noise, _BENDS, bent_across),
        _shares((coarse[..., 1:] - coarse[..., :-1]).abs(), _STEPS[2:], coarse_across), _summary(per_cell)), dim=-1)
    return Evidence(values, per_cell, level)


#: The logarithm of the middle of the range of distances is where `logs` is 0: 1.55 m for 0.2 to 12 m.
_MIDDLE = -0.4377


#: Statistics of the auxiliary image, by its modality.
AUXILIARY_EVIDENCE = {Modality.DEPTH: depth_evidence, Modality.THERMAL: thermal_evidence}


def _shares(values: Tensor, limits: tuple[float, ...], counted: Tensor | None = None) -> Tensor:
    """Log-odds of the shares of pixels beyond each limit, (B, 1, H, W) -> (B, limits); every second row and column."""
    values = values[..., ::2, ::2].flatten(1)
    edges = values.new_tensor(limits)
    beyond = (values[:, None] > edges[:, None]).to(values.dtype)
    if counted is None:
        shares = beyond.mean(-1)
    else:
        counted = counted[..., ::2, ::2].flatten(1)
        shares = (beyond @ counted[..., None])[..., 0] / counted.sum(1, keepdim=True).clamp_min(1)
    return (shares + SMALLEST_SHARE).log() - (1 - shares + SMALLEST_SHARE).log()


def _gradient(image: Tensor) -> Tensor:
    """Magnitude of the central differences, (B, 1, H, W) -> (B, 1, H - 2, W - 2)."""
    across = image[..., 1:-1, 2:] - image[..., 1:-1, :-2]
    down = image[..., 2:, 1:-1] - image[..., :-2, 1:-1]
    return (across * across + down * down + 1e-12).sqrt()


def _bend(image: Tensor) -> Tensor:
    """Magnitude of the Laplacian, (B, 1, H, W) -> (B, 1, H - 2, W - 2)."""
    centre = image[..., 1:-1, 1:-1]
    return (image[..., 1:-1, 2:] + image[..., 1:-1, :-2] + image[..., 2:, 1:-1] + image[..., :-2, 1:-1]
            - 4 * centre).abs() / 4


def _isolation(image: Tensor) -> Tensor:
    """How far a pixel lies from the nearest of its four neighbours in value, (B, 1, H, W) -> (B, 1, H - 2, W - 2)."""
    centre = image[..., 1:-1, 1:-1]
    neighbours = (image[..., 1:-1, 2:], image[..., 1:-1, :-2], image[..., 2:, 1:-1], image[..., :-2, 1:-1])
    nearest = (neighbours[0] - centre).abs()
    for neighbour in neighbours[1:]:
        nearest = torch.minimum(nearest, (neighbour - centre).abs())
    return nearest


def _summary(per_cell: Tensor) -> Tensor:
    """Extremes, quartiles and spread over the cells of every figure, (B, F, G) -> (B, 6 F)."""
    ordered = per_cell.sort(-1).values
    last = per_cell.shape[-1] - 1
    picked = [ordered[..., round(share * last)] for share in (0, 0.1, 0.5, 0.9, 1)]
    return torch.stack((*picked, per_cell.std(-1)), dim=-1).flatten(1)


def _holes(valid: Tensor) -> Tensor:
    """Share of holes, of their rims and specks, and in each border band, (B, 1, H, W) -> (B, 9), log-odds."""
    height, width = valid.shape[-2:]
    rows, columns = max(round(height * BAND), 1), max(round(width * BAND), 1)
    hole = 1 - valid
    rims = [change.abs().mean((1, 2, 3))
            for change in (valid[..., 1:] - valid[..., :-1], valid[..., 1:, :] - valid[..., :-1, :])]
    around = F.avg_pool2d(valid, 5, stride=1, padding=2, count_include_pad=False)
    specks = (hole * (around > 0.7)).mean((1, 2, 3))
    wide = (F.avg_pool2d(hole, 16) > 0.95).to(valid.dtype).mean((1, 2, 3))
    bands = (hole[..., :columns], hole[..., -columns:], hole[..., :rows, :], hole[..., -rows:, :])
    shares = torch.stack((hole.mean((1, 2, 3)), *rims, specks, wide, *(band.mean((1, 2, 3)) for band in bands)), dim=-1)
    return (shares + SMALLEST_SHARE).log() - (1 - shares + SMALLEST_SHARE).log()
