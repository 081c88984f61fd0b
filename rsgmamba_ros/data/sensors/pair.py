"""A colour camera and its depth or thermal camera, drawn together."""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rsgmamba_ros.data.sensors.colour_sensor import apply_colour, ColourSensor, draw_colour_sensor
from rsgmamba_ros.data.sensors.depth_images import apply_depth
from rsgmamba_ros.data.sensors.depth_kinds import draw_depth_sensor
from rsgmamba_ros.data.sensors.depth_sensor import DepthSensor
from rsgmamba_ros.data.sensors.thermal_sensor import apply_thermal, draw_thermal_sensor, ThermalSensor
from rsgmamba_ros.data.sensors.view import draw_view, View
from rsgmamba_ros.vocabulary.images import Modality


@dataclass(frozen=True)
class SensorPair:
    """Two healthy cameras. Applied to many images, it gives images of one sensor; the defaults change nothing."""

    colour: ColourSensor = field(default_factory=ColourSensor)
    auxiliary: DepthSensor | ThermalSensor = field(default_factory=lambda: DepthSensor('as_recorded', as_recorded=True))
    view: View = field(default_factory=View)

    def apply(self, rgb: np.ndarray, auxiliary_image: np.ndarray, *,
              rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What these cameras would have seen.

        Args:
            rgb: (H, W, 3) uint8.
            auxiliary_image: of the same view, (H, W) float32, metres or the thermal unit, NaN is invalid.
            rng: what differs between images of one sensor.

        Returns:
            Both images, of the same shapes and dtypes, new arrays.

        Raises:
            ValueError: the images do not have these shapes and dtypes.
        """
        _check(rgb, auxiliary_image)
        if isinstance(self.auxiliary, ThermalSensor):
            measured = apply_thermal(self.auxiliary, auxiliary_image, rng=rng)
        else:
            scaled = auxiliary_image * np.float32(self.view.depth_scale)
            measured = apply_depth(self.auxiliary, rgb, scaled, rng=rng)
        return apply_colour(self.colour, rgb, rng=rng), measured


def draw_sensor_pair(auxiliary: Modality, rng: np.random.Generator, *, kind: str = '',
                     thermal_range: tuple[float, float] = (0.0, 255.0)) -> SensorPair:
    """Draw two healthy cameras.

    Args:
        auxiliary: depth or thermal.
        kind: of depth camera, a name in `DEPTH_SENSORS`; empty for any.
        thermal_range: limits of the thermal camera's output, in the thermal unit of the dataset.

    Raises:
        ValueError: the auxiliary modality is RGB, or an unknown kind.
    """
    if auxiliary is Modality.RGB:
        raise ValueError('the auxiliary modality of a sensor pair is depth or thermal, got rgb')
    colour = draw_colour_sensor(rng)
    if auxiliary is Modality.THERMAL:
        return SensorPair(colour, draw_thermal_sensor(rng, low=thermal_range[0], high=thermal_range[1]))
    depth = draw_depth_sensor(rng, kind=kind)
    # The camera that took the images keeps its distances, too.
    view = View() if depth.as_recorded else draw_view(rng, min_m=depth.min_m, max_m=depth.max_m)
    return SensorPair(colour, depth, view)


def _check(rgb: np.ndarray, auxiliary_image: np.ndarray) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f'rgb is {rgb.shape} {rgb.dtype}; expected (H, W, 3) uint8')
    if auxiliary_image.shape != rgb.shape[:2] or auxiliary_image.dtype != np.float32:
        raise ValueError(f'auxiliary image is {auxiliary_image.shape} {auxiliary_image.dtype}; expected '
                         f'{rgb.shape[:2]} float32')
