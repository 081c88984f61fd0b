"""The kinds of depth cameras: how the parameters of one camera are drawn.

Ranges are wider than any one model's, so that a camera that is not listed lies within them. Where a figure comes from
is said beside it; "own" ones are set by eye against recorded images.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import math

import numpy as np

from rsgmamba_ros.data.sensors.depth_sensor import (
    DepthNoise,
    DepthSensor,
    Edges,
    FieldOfView,
    Losses,
    Registration,
    Triangulation,
)
from rsgmamba_ros.data.sensors.randomness import log_uniform

#: Kinect v1: focal length of about 575 px at 640 columns, baseline 0.075 m.
_KINECT_FOCAL_BASELINE = 575 * 0.075
#: Kinect v1: disparity in 1/8 px, that is 3 mm at 1 m and 46 mm at 4 m. Measured: about 2 mm and 45 mm
#: (drdave.co.uk, "Smoothing depth data", 2012).
_KINECT_STEP_PX = 0.125
#: Kinect v1: sigma = 0.0012 + 0.0019 (z - 0.4)^2 m (Nguyen, Izadi and Lovell, 3DIMPVT 2012).
_KINECT_NOISE = DepthNoise(constant_m=0.0012, quadratic=0.0019, start_m=0.4)
#: RealSense at 640 columns: D405 382 px x 18 mm (realsense-ros, issue 2367); D435 about 340 px x 50 mm and D415 500 px
#: x 55 mm, the focal lengths from the fields of view of 87 and 65 degrees (D400 data sheet); D455 340 px x 95 mm.
_STEREO_FOCAL_BASELINE = (9.0, 33.0)
#: RealSense: nearest distance = focal length x baseline / 126 px (realsense-ros, issue 2367).
_STEREO_MOST_DISPARITY_PX = 126.0
#: RealSense: noise of the disparity, around 0.08 px; own range. The distance's noise is z^2 / (focal x baseline) of it.
_STEREO_NOISE_PX = (0.03, 0.12)
#: RealSense: 1/32 px steps (Intel, white paper on subpixel linearity of the D400 series).
_STEREO_STEP_PX = 1 / 32
#: Azure Kinect: standard deviation at most 17 mm within its range (Toelgyessy et al., Sensors 21(2):413, 2021). Here at
#: most 22 mm at 3.9 m.
_FLIGHT_NOISE_CONSTANT_M = (0.0005, 0.004)
_FLIGHT_NOISE_QUADRATIC = (0.0002, 0.0012)
#: iPhone and iPad: grid of 24 x 24 points, range of 5 m (press reports of 2020); recorded images have 256 columns and
#: show detail of a finer grid, so that the upper ends are own.
_LIDAR_RANGE_M = (4.5, 9.0)
_LIDAR_COLUMNS = (36, 128)
_MILLIMETRE = 0.001


def structured_light(rng: np.random.Generator) -> DepthSensor:
    """Kinect v1, Xtion, PrimeSense, Astra."""
    scale = log_uniform(0.7, 1.6, rng)
    return DepthSensor(
        'structured_light', min_m=rng.uniform(0.35, 0.6), max_m=rng.uniform(4.0, 10.0), step_m=_MILLIMETRE,
        width_px=_columns(rng),
        triangulation=Triangulation(_KINECT_FOCAL_BASELINE * rng.uniform(0.8, 1.1), _KINECT_STEP_PX, shadow=True),
        noise=replace(_KINECT_NOISE, constant_m=_KINECT_NOISE.constant_m * scale,
                      quadratic=_KINECT_NOISE.quadratic * scale, grain_px=rng.uniform(0, 4)),
        losses=_losses(rng, reach_m=log_uniform(8.0, 80.0, rng), shiny=rng.uniform(0, 1.3),
                       grazing=rng.uniform(0.3, 1.2), anywhere=rng.uniform(0, 0.3), patch_px=log_uniform(8, 40, rng),
                       speckle=rng.uniform(0, 0.4)),
        edges=Edges(jitter_px=rng.uniform(0.5, 3.0), fattening_px=rng.uniform(0, 2), loss=rng.uniform(0, 0.6)),
        registration=_registration(rng, occlusion_m=0.025, margin=0.06))


def active_stereo(rng: np.random.Generator) -> DepthSensor:
    """RealSense D4xx, Orbbec Gemini, OAK-D with projector."""
    focal_baseline = log_uniform(*_STEREO_FOCAL_BASELINE, rng)
    nearest_m = focal_baseline / _STEREO_MOST_DISPARITY_PX
    # Exposure, projector power and filters of the driver decide together how much is lost.
    lossiness = float(rng.random())
    return DepthSensor(
        'active_stereo', min_m=nearest_m, max_m=rng.uniform(4.0, 15.0),
        step_m=float(rng.choice((_MILLIMETRE, 0.0001))), width_px=_columns(rng),
        triangulation=Triangulation(focal_baseline, _STEREO_STEP_PX, shadow=bool(rng.random() < 0.7),
                                    left_band=bool(rng.random() < 0.75)),
        noise=DepthNoise(quadratic=log_uniform(*_STEREO_NOISE_PX, rng) / focal_baseline, grain_px=rng.uniform(4, 16)),
        losses=_losses(rng, reach_m=log_uniform(9.0, 26.0, rng) / max(lossiness, 0.1), shiny=rng.uniform(0, 1.3),
                       plain=rng.uniform(0, 0.9) * lossiness, grazing=rng.uniform(0, 0.7),
                       anywhere=rng.uniform(0, 0.5) * lossiness,
                       mismatched=rng.uniform(0, 0.3) if rng.random() < 0.5 else 0.0,
                       patch_px=log_uniform(10, 50, rng), speckle=rng.uniform(0, 0.15)),
        edges=Edges(fattening_px=rng.uniform(1, 6), jitter_px=rng.uniform(1, 5), flying=rng.uniform(0, 0.3),
                    loss=rng.uniform(0, 1) * lossiness),
        registration=_registration(rng, occlusion_m=0.03, margin=0.03))


def time_of_flight(rng: np.random.Generator) -> DepthSensor:
    """Azure Kinect, Kinect v2, Femto: continuous-wave time of flight."""
    outline = FieldOfView(rng.choice(('full', 'hexagon', 'oval', 'rounded'), p=(0.15, 0.3, 0.25, 0.3)))
    return DepthSensor(
        'time_of_flight', min_m=rng.uniform(0.2, 0.5), max_m=rng.uniform(3.9, 8.0), step_m=_MILLIMETRE,
        width_px=_columns(rng), field_of_view=outline, field_size=rng.uniform(0.85, 1.1),
        multipath=rng.uniform(0, 0.5),
        noise=DepthNoise(constant_m=log_uniform(*_FLIGHT_NOISE_CONSTANT_M, rng),
                         quadratic=log_uniform(*_FLIGHT_NOISE_QUADRATIC, rng), grain_px=rng.uniform(0, 4)),
        losses=_losses(rng, reach_m=log_uniform(5.0, 40.0, rng), shiny=rng.uniform(0, 0.9),
                       grazing=rng.uniform(0, 0.8), patch_px=log_uniform(6, 30, rng), speckle=rng.uniform(0.3, 1)),
        edges=Edges(jitter_px=rng.uniform(0, 1.5), flying=rng.uniform(0, 0.7), loss=rng.uniform(0, 1.0)),
        registration=_registration(rng, occlusion_m=0.04, margin=0.04))


def lidar_upsampled(rng: np.random.Generator) -> DepthSensor:
    """Phone with LiDAR, its sparse points enlarged by the colour image (iPhone, iPad)."""
    return DepthSensor(
        'lidar_upsampled', min_m=rng.uniform(0.0, 0.2), max_m=rng.uniform(*_LIDAR_RANGE_M),
        far_m=math.nan, step_m=_MILLIMETRE if rng.random() < 0.5 else 0.0,
        noise=DepthNoise(constant_m=rng.uniform(0, 0.002), grain_px=rng.uniform(10, 30)),
        losses=_losses(rng, shiny=rng.uniform(0, 0.5) if rng.random() < 0.3 else 0.0),
        edges=Edges(jitter_px=rng.uniform(1, 6), cells=int(log_uniform(*_LIDAR_COLUMNS, rng))))


def simulator(rng: np.random.Generator) -> DepthSensor:
    """Rendered depth: exact; what is too far is NaN or the far plane."""
    far = rng.uniform(4.0, 20.0)
    return DepthSensor('simulator', max_m=far, far_m=far if rng.random() < 0.5 else math.nan,
                       step_m=_MILLIMETRE if rng.random() < 0.5 else 0.0)


def in_painted(rng: np.random.Generator) -> DepthSensor:
    """A structured-light or stereo camera whose holes were filled, as those of NYU Depth V2."""
    raw = structured_light(rng) if rng.random() < 0.6 else active_stereo(rng)
    margins = raw.registration.margins if rng.random() < 0.3 else (0.0, 0.0, 0.0, 0.0)
    return replace(raw, kind='in_painted', filled=True, registration=replace(raw.registration, margins=margins),
                   step_m=float(rng.choice((_MILLIMETRE, 10 / 255))))


def as_recorded(rng: np.random.Generator) -> DepthSensor:
    """The camera that took the images."""
    return DepthSensor('as_recorded', as_recorded=True)


#: How a camera of each kind is drawn.
DEPTH_SENSORS: dict[str, Callable[[np.random.Generator], DepthSensor]] = {
    'structured_light': structured_light,
    'active_stereo': active_stereo,
    'time_of_flight': time_of_flight,
    'lidar_upsampled': lidar_upsampled,
    'simulator': simulator,
    'in_painted': in_painted,
    'as_recorded': as_recorded,
}
#: How often each kind is drawn; own.
DEPTH_SENSOR_SHARES: dict[str, float] = {
    'structured_light': 0.18, 'active_stereo': 0.28, 'time_of_flight': 0.2, 'lidar_upsampled': 0.08, 'simulator': 0.08,
    'in_painted': 0.06, 'as_recorded': 0.12,
}


def draw_depth_sensor(rng: np.random.Generator, *, kind: str = '') -> DepthSensor:
    """Draw one depth camera, of a given kind or of any.

    Raises:
        ValueError: an unknown kind.
    """
    if kind and kind not in DEPTH_SENSORS:
        raise ValueError(f'kind of depth sensor {kind!r} is unknown; known: {list(DEPTH_SENSORS)}')
    chosen = kind or str(rng.choice(list(DEPTH_SENSOR_SHARES), p=list(DEPTH_SENSOR_SHARES.values())))
    return DEPTH_SENSORS[chosen](rng)


def _columns(rng: np.random.Generator) -> int:
    """From 240 columns (half of a 480-column mode, and Femto's 320) to VGA."""
    return int(log_uniform(240, 640, rng))


def _losses(rng: np.random.Generator, **propensities: float) -> Losses:
    red, green, blue = rng.dirichlet((2.0, 2.0, 1.0))
    return Losses(response=(float(red), float(green), float(blue)), **propensities)


def _offset(rng: np.random.Generator, largest_px: float) -> tuple[float, float]:
    """Most registrations are right within a pixel or two; few are off by the largest."""
    length = largest_px * rng.random() ** 3
    angle = rng.uniform(0, 2 * math.pi)
    return float(length * math.cos(angle)), float(length * math.sin(angle))


def _registration(rng: np.random.Generator, *, occlusion_m: float, margin: float) -> Registration:
    """Up to 8 px constant error, as seen on recorded sets; focal length 500 px."""
    margins = rng.uniform(0, margin, 4) * (rng.random(4) < 0.4)
    return Registration(
        offset_px=_offset(rng, 8), parallax=float(rng.normal(0, 0.7)) if rng.random() < 0.5 else 0.0,
        occlusion=float(rng.uniform(-1, 1)) * occlusion_m * 500 if rng.random() < 0.7 else 0.0,
        doubled=bool(rng.random() < 0.15), margins=tuple(margins.tolist()))
