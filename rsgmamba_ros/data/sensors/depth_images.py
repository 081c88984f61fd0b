"""What a depth camera makes of a clean depth image."""
from __future__ import annotations

import cv2
import numpy as np

from rsgmamba_ros.data.sensors import depth_effects as effects
from rsgmamba_ros.data.sensors.depth_sensor import DepthSensor, FieldOfView

_REFERENCE_WIDTH_PX = 640


def apply_depth(sensor: DepthSensor, rgb: np.ndarray, depth: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """The depth image that this camera would have given of the scene.

    Args:
        rgb: the scene, (H, W, 3) uint8; it says which surfaces are dark, shiny or plain.
        depth: of the same view, (H, W) float32 metres, NaN where there is no measurement: there the camera has none;
            so it is with what is not positive or infinite.
        rng: what differs between images of one camera: noise, and which patches are lost.

    Returns:
        (H, W) float32 metres, NaN where the camera has no measurement; a new array.
    """
    invalid = ~((depth > 0) & (depth < np.inf))
    if sensor.as_recorded or invalid.all():
        return depth.copy()
    # Where nothing was recorded the effects see a far wall; what they make of it is removed with `invalid`.
    z = np.where(invalid, np.float32(np.max(depth, where=~invalid, initial=0)), depth) if invalid.any() else depth
    z = _seen(sensor, effects.without_comb(z, rng), rng)
    measured = _measured(sensor, rgb, z, invalid, rng)
    measured = _registered(sensor, measured, z, rng)
    measured = _resampled(sensor, measured)
    margins = sensor.registration.margins
    if sensor.field_of_view is not FieldOfView.FULL or any(margins):
        measured[~effects.field_of_view(depth.shape, sensor.field_of_view, sensor.field_size, margins)] = np.nan
    if sensor.filled:
        measured = effects.filled(measured)
    if sensor.step_m:
        measured = np.round(measured / np.float32(sensor.step_m)) * np.float32(sensor.step_m)
    return measured


def _seen(sensor: DepthSensor, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The shapes that the camera resolves."""
    if sensor.multipath:
        z = effects.bowed(z, sensor.multipath)
    if sensor.edges.cells:
        z = effects.softened(z, sensor.edges.cells)
    return effects.fattened(z, sensor.edges.fattening_px * _pixels(z))


def _measured(sensor: DepthSensor, rgb: np.ndarray, z: np.ndarray, invalid: np.ndarray,
              rng: np.random.Generator) -> np.ndarray:
    """Values and holes in the view of the depth camera."""
    scale = _pixels(z)
    pair = sensor.triangulation
    lost = invalid.copy()
    values, losses = z, sensor.losses
    if losses.reach_m or losses.shiny or losses.plain or losses.grazing or losses.anywhere:
        unmeasured = effects.unmeasured(rgb, z, losses, rng)
        if losses.mismatched:
            values, unmeasured = effects.mismatched(z, unmeasured, losses.mismatched, losses.patch_px * scale, rng)
        lost |= unmeasured
    lost |= z < sensor.min_m
    if pair.shadow:
        lost |= effects.hidden(z, pair.focal_baseline * scale)
    if pair.left_band:
        lost |= effects.outside(z, pair.focal_baseline * scale)
    if sensor.edges.flying or sensor.edges.loss:
        values, lost_at_edges = effects.at_edges(values, sensor.edges, rng)
        lost |= lost_at_edges
    if sensor.noise.constant_m or sensor.noise.quadratic:
        values = effects.noisy(values, sensor.noise, sensor.noise.grain_px * scale, rng)
    if pair.step_px:
        values = effects.in_steps_of_disparity(values, pair.focal_baseline * scale, pair.step_px * scale)
    return np.where(lost, np.float32(np.nan), np.where(z > sensor.max_m, np.float32(sensor.far_m), values))


def _registered(sensor: DepthSensor, measured: np.ndarray, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brought to the view of the colour camera."""
    registration, scale = sensor.registration, _pixels(z)
    if registration.occlusion:
        band = effects.hidden(z, registration.occlusion * scale)
        reach = max(1, round(abs(registration.occlusion) * scale))
        again = cv2.erode(z, np.ones((1, 2 * reach + 1), np.uint8)) if registration.doubled else np.float32(np.nan)
        measured = np.where(band, again, measured)
    right, down = (length * scale for length in registration.offset_px)
    jitter = sensor.edges.jitter_px * scale
    if not (right or down or jitter or registration.parallax):
        return measured
    shift: np.ndarray | float = right
    if registration.parallax:
        # A pixel's value comes from aside: the nearest surface there decides how far.
        reach = max(1, round(abs(registration.parallax) * scale / float(z.min())))
        shift = right + np.float32(registration.parallax * scale) / cv2.erode(z, np.ones((1, 2 * min(reach, 30) + 1)))
    return effects.displaced(measured, shift, down, jitter, rng)


def _resampled(sensor: DepthSensor, measured: np.ndarray) -> np.ndarray:
    """Through the pixels of the sensor, where it has fewer than the image."""
    height, width = measured.shape
    if not 0 < sensor.width_px < width:
        return measured
    size = (sensor.width_px, max(1, round(height * sensor.width_px / width)))
    return cv2.resize(cv2.resize(measured, size, interpolation=cv2.INTER_NEAREST), (width, height),
                      interpolation=cv2.INTER_NEAREST)


def _pixels(image: np.ndarray) -> float:
    """Pixels of this image to one of an image 640 wide."""
    return float(image.shape[1] / _REFERENCE_WIDTH_PX)
