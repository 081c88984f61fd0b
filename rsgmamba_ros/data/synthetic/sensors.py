"""Makes RGB, depth and thermal images, with noise, from geometry buffers.

H, W image size. The caller passes the generator of random numbers.
"""
from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from rsgmamba_ros.data.synthetic.rendering import GeometryBuffers
from rsgmamba_ros.data.synthetic.textures import pattern_stack, PATTERNS, TILE
from rsgmamba_ros.data.synthetic.world import Decal, World

DEPTH_RANGE_M = (0.45, 8.0)
_KINECT_BASELINE_M = 0.075


def rgb_image(buffers: GeometryBuffers, world: World, *, time_s: float, rng: np.random.Generator) -> np.ndarray:
    """Colour image with light, shadow, texture, exposure, lens blur, photon and read noise, (H, W, 3) uint8."""
    blend = _pattern(buffers)
    direction, colour = world.light
    diffuse = np.einsum('c,chw->hw', np.array(direction, np.float32), buffers.normal)
    sun = (1 - world.ambient_light) * (1 + 0.08 * np.sin(0.9 * time_s))
    # The light falls off with the distance, like that of a lamp near the camera.
    light = (world.ambient_light + np.float32(sun) * np.maximum(diffuse, np.float32(0.1))) * buffers.shadow
    light *= np.float32(world.exposure) / (1 + np.float32(0.012) * buffers.depth ** 2)
    table = np.array([s.colours for s in buffers.surfaces], np.float32) * np.array(colour, np.float32)
    first, second = table[:, 0], table[:, 1]
    image = cv2.merge([np.take(first[:, i], buffers.surface) + blend * np.take((second - first)[:, i], buffers.surface)
                       for i in range(3)])
    for decal, mask in _decal_masks(world.decals, buffers):
        if decal.colour[0] >= 0:
            image[mask] = np.array(decal.colour, np.float32) * (1 - 0.5 * blend[mask][:, None])
    image *= light[..., None]
    image = cv2.GaussianBlur(np.clip(image, 0, 1, out=image), (3, 3), 0.55)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise *= cv2.sqrt(image * np.float32(2.5e-4) + np.float32(6e-5))
    image += noise
    # A display gamma of 2 instead of 2.2: a square root is faster than a power.
    encoded: np.ndarray = cv2.sqrt(np.clip(image, 0, 1, out=image)) * 255 + np.float32(0.5)
    return encoded.astype(np.uint8)


def depth_image(buffers: GeometryBuffers, *, focal_px: float, rng: np.random.Generator) -> np.ndarray:
    """Depth of a structured-light camera, metres in steps of 1 mm, NaN without echo, (H, W) float32.

    Axial noise 0.0012 + 0.0019 (z - 0.4)^2 m and lateral noise of about 0.5 px at edges: Nguyen et al. 2012. The
    projector is one baseline to the right of the camera, so each near object casts a shadow to one side.
    """
    true = buffers.depth
    noise = rng.standard_normal(true.shape, dtype=np.float32)
    columns = np.arange(true.shape[1])[None, :] + (noise > 1.0).astype(np.int32) - (noise < -1.0)
    depth = np.take_along_axis(true, np.clip(columns, 0, true.shape[1] - 1), axis=1)
    noise = rng.standard_normal(true.shape, dtype=np.float32)
    measured = depth + noise * (np.float32(0.0012) + np.float32(0.0019) * (depth - np.float32(0.4)) ** 2)
    returns = np.array([s.depth_return for s in buffers.surfaces], np.float32)
    echo = np.take(returns, buffers.surface) * np.minimum(buffers.facing * 8, 1)
    lost = rng.random(true.shape, dtype=np.float32) > echo
    lost |= _projector_shadow(true, focal_px)
    lost |= (measured < DEPTH_RANGE_M[0]) | (measured > DEPTH_RANGE_M[1])
    measured = np.round(measured * 1000) / np.float32(1000)
    measured[lost] = np.nan
    return measured


def thermal_image(buffers: GeometryBuffers, world: World, *, time_s: float, rng: np.random.Generator) -> np.ndarray:
    """Apparent temperature, degrees Celsius in steps of 0.01, (H, W) float32.

    The emissivity falls at grazing angles. The lens is softer than that of the colour camera. The whole image drifts
    slowly, columns have a fixed pattern, and pixels have a noise of 0.06 K.
    """
    height, width = buffers.depth.shape
    warmth: np.ndarray = np.take(np.array([s.warmth_k for s in buffers.surfaces], np.float32), buffers.surface)
    for decal, mask in _decal_masks(world.decals, buffers):
        warmth[mask] += np.float32(decal.warmth_k)
    warmth *= np.float32(0.8) + np.float32(0.2) * buffers.facing
    warmth += (_pattern(buffers) - np.float32(0.5)) * np.float32(0.5)
    warmth -= np.where(buffers.plane <= 2, buffers.texture[1] * (buffers.plane != 1), 0) * np.float32(0.6)
    warmth = np.asarray(cv2.GaussianBlur(warmth, (5, 5), 0.9), np.float32)
    # The same camera has the same columns in every image: seeded by the world, not by the time.
    columns = np.random.default_rng(round(world.ambient_c * 1e6)).normal(0, 0.05, (1, width)).astype(np.float32)
    drift = np.float32(world.ambient_c + 0.4 * np.sin(0.05 * time_s))
    warmth += rng.standard_normal((height, width), dtype=np.float32) * np.float32(0.06) + columns + drift
    steps: np.ndarray = np.round(warmth * 100)
    return steps / np.float32(100)


def _pattern(buffers: GeometryBuffers) -> np.ndarray:
    """Value of the surface pattern at each pixel, (H, W) in [0, 1]."""
    scale = np.array([TILE / s.pattern_size_m for s in buffers.surfaces], np.float32)
    layer = np.array([PATTERNS.index(s.pattern) * TILE * TILE for s in buffers.surfaces], np.int32)
    per_pixel = np.take(scale, buffers.surface)
    u, v = ((coordinate * per_pixel).astype(np.int32) & (TILE - 1) for coordinate in buffers.texture)
    values: np.ndarray = np.take(pattern_stack().reshape(-1), np.take(layer, buffers.surface) + v * TILE + u)
    return values


def _decal_masks(decals: Iterable[Decal], buffers: GeometryBuffers) -> Iterable[tuple[Decal, np.ndarray]]:
    """Each flat picture or warm spot, and its visible pixels, (H, W) bool."""
    for decal in decals:
        u, v = (np.abs(t - np.float32(c)) / np.float32(h)
                for t, c, h in zip(buffers.texture, decal.centre, decal.half))
        inside = (u * u + v * v < 1) if decal.is_round else (np.maximum(u, v) < 1)
        inside &= (buffers.plane == decal.plane) & (buffers.normal[1] <= 0)
        yield decal, inside


def _projector_shadow(depth: np.ndarray, focal_px: float) -> np.ndarray:
    """Pixels that a nearer object on their right hides from the projector, (H, W) bool.

    A pixel is hidden if the disparity s columns further right is larger by s or more.
    """
    disparity = np.float32(focal_px * _KINECT_BASELINE_M) / depth
    hidden = np.zeros(depth.shape, bool)
    for shift in (1, 2, 3, 5, 7, 9):
        hidden[:, :-shift] |= disparity[:, shift:] - disparity[:, :-shift] >= shift
    return hidden
