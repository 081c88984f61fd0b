"""Depth -> the channels that an encoder sees of it: distance, validity, surface normals. [ours]

A hole is no distance: where nothing was measured the distance is filled from around it and the validity is 0, so an
encoder can tell the two apart. Normals say what one channel of distances shows only to wide filters: floor, wall, edge.
Everything is computed on the device, from the one channel that the preprocessing gives.

B batch, H, W image.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: Names of the channels that `depth_channels` gives.
CHANNELS = ('distance', 'validity', 'normal_x', 'normal_y', 'normal_z')
#: Normalised values below it stand for no measurement, see `pipeline.preprocessing.INVALID_VALUE`.
LEAST_VALID = -2.5
#: Levels of the pyramid that fills holes: each halves the image, so the coarsest cell is the encoder's last stride.
FILL_LEVELS = 5
#: Focal length in pixels of an image 320 wide, of a camera with a horizontal field of view of 58 degrees (Kinect v1;
#: RealSense D4xx have 55 to 70). Normals of another camera are a little steeper or flatter.
FOCAL_PX = 288.0
#: Normals are computed at half the resolution: distances are averaged over 6 and differentiated over 4 pixels.
SMOOTHING = 3


def depth_channels(images: Tensor, log_range: Tensor | float) -> Tensor:
    """Give the channels of normalised depth images.

    Args:
        images: (B, 1, H, W), normalised depth by the law `log`, in [-2, 2]; below `LEAST_VALID` there is none.
            H and W multiples of 32.
        log_range: change of the logarithm of the distance for a change of 1 of the normalised depth.

    Returns:
        (B, 5, H, W), see `CHANNELS`. Normals are those of the surface as seen along the ray of each pixel: (0, 0, 1)
        where it faces the camera.
    """
    valid = (images > LEAST_VALID).to(images.dtype)
    filled = fill_holes(images, valid)
    normals = F.interpolate(_normals(F.avg_pool2d(filled, 2) * log_range), scale_factor=2.0, mode='nearest')
    return torch.cat((filled, valid, normals), dim=1)


def fill_holes(values: Tensor, valid: Tensor) -> Tensor:
    """Fill what is not valid from the valid values around it, smoothly: pull and push over a pyramid.

    Args:
        values: (B, 1, H, W); what stands where it is not valid does not count, unless it is NaN or infinite.
        valid: (B, 1, H, W), 1 or 0.

    Returns:
        (B, 1, H, W): `values` where valid; 0 everywhere where an image has no valid value at all.

    Source: the pull-push algorithm of Gortler et al., The Lumigraph, SIGGRAPH 1996.
    """
    sums, weights = [values * valid], [valid]
    for _ in range(FILL_LEVELS):
        sums.append(F.avg_pool2d(sums[-1], 2))
        weights.append(F.avg_pool2d(weights[-1], 2))
    total = weights[-1].mean((2, 3), keepdim=True)
    filled = (sums[-1].mean((2, 3), keepdim=True) / total.clamp_min(1e-6)).expand_as(sums[-1])
    for level in range(FILL_LEVELS, -1, -1):
        if level < FILL_LEVELS:
            filled = F.interpolate(filled, scale_factor=2.0, mode='bilinear', align_corners=False)
        filled = torch.where(weights[level] > 0, sums[level] / weights[level].clamp_min(1e-6), filled)
    return filled


def _normals(log_distance: Tensor) -> Tensor:
    """Normals of the surface, (B, 1, h, w) at half the resolution -> (B, 3, h, w), of length 1."""
    smooth = F.avg_pool2d(F.pad(log_distance, [SMOOTHING // 2] * 4, mode='replicate'), SMOOTHING, stride=1)
    padded = F.pad(smooth, [1] * 4, mode='replicate')
    factor = FOCAL_PX / 4  # two cells of two pixels
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) * factor
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) * factor
    depth = (1 + across.square() + down.square()).rsqrt()
    return torch.cat((across * depth, down * depth, depth), dim=1)
