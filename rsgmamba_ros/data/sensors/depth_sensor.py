"""What describes one depth camera. Lengths in pixels are those of an image 640 wide and scale with the image.

All defaults are "no effect": a `DepthSensor` without arguments measures exactly.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
import math

from rsgmamba_ros.vocabulary.errors import ConfigError


class FieldOfView(str, Enum):
    """Outline of the part of the colour image that the depth camera sees."""

    FULL = 'full'
    HEXAGON = 'hexagon'   #: Azure Kinect, narrow mode
    OVAL = 'oval'         #: Azure Kinect and Femto, wide mode
    ROUNDED = 'rounded'   #: corners missing: Kinect v2


@dataclass(frozen=True)
class Triangulation:
    """Depth by triangulation between two cameras, or a camera and a projector.

    Attributes:
        focal_baseline: focal length times baseline, px m; 0 for a camera that does not triangulate.
        step_px: steps of disparity; 0 for none.
        shadow: whether pixels that the second device cannot see are lost: left of near objects.
        left_band: whether pixels outside the second camera's image are lost, at the left edge.
    """

    focal_baseline: float = 0.0
    step_px: float = 0.0
    shadow: bool = False
    left_band: bool = False


@dataclass(frozen=True)
class DepthNoise:
    """Noise along the ray: sigma = constant_m + quadratic * (z - start_m)^2, metres.

    Attributes:
        quadratic: 1/m.
        grain_px: size of the noise's grain; 0 for independent pixels.
    """

    constant_m: float = 0.0
    quadratic: float = 0.0
    start_m: float = 0.0
    grain_px: float = 0.0


@dataclass(frozen=True)
class Losses:
    """Which surfaces give no measurement. A propensity of 0 loses none, one of 1.3 nearly all surfaces of that kind.

    Attributes:
        reach_m: distance to which a white surface can be measured; dark ones are lost nearer; 0 for no limit.
        shiny: propensity to lose surfaces that are saturated in the image.
        plain: propensity to lose surfaces without texture.
        grazing: propensity to lose surfaces seen at a grazing angle.
        anywhere: propensity to lose any surface.
        mismatched: share of the lost surfaces that get a wrong distance instead, 0..0.5.
        response: weights of R, G and B in the brightness that the depth camera sees.
        patch_px: size of the patches in which pixels are lost.
        speckle: 0 for smooth patches, 1 for single pixels.
    """

    reach_m: float = 0.0
    shiny: float = 0.0
    plain: float = 0.0
    grazing: float = 0.0
    anywhere: float = 0.0
    mismatched: float = 0.0
    response: tuple[float, float, float] = (0.3, 0.6, 0.1)
    patch_px: float = 30.0
    speckle: float = 0.0


@dataclass(frozen=True)
class Edges:
    """What happens at jumps of depth.

    Attributes:
        fattening_px: near surfaces grow by it.
        jitter_px: outlines are displaced by about it, differently along the outline.
        flying: share of the pixels at a jump that lie between the two surfaces.
        loss: share of the pixels at a jump that are lost.
        cells: columns of the coarse grid from which the image is enlarged, so that edges are soft; 0 for none.
    """

    fattening_px: float = 0.0
    jitter_px: float = 0.0
    flying: float = 0.0
    loss: float = 0.0
    cells: int = 0


@dataclass(frozen=True)
class Registration:
    """How the depth image was brought to the view of the colour camera.

    Attributes:
        offset_px: constant error, to the right and down.
        parallax: error of an inverse distance, px m to the right.
        occlusion: focal length times the distance of the two cameras, px m: width of the bands beside near objects
            that only the colour camera sees. Positive on their left, negative on their right.
        doubled: the bands hold the near object again instead of nothing.
        margins: share of the image without depth at the left, top, right and bottom.
    """

    offset_px: tuple[float, float] = (0.0, 0.0)
    parallax: float = 0.0
    occlusion: float = 0.0
    doubled: bool = False
    margins: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class DepthSensor:
    """One depth camera: everything that stays the same from image to image.

    Attributes:
        kind: name in `DEPTH_SENSORS`.
        as_recorded: images are left as they are; nothing else counts.
        min_m: nearer surfaces are lost.
        max_m: farther surfaces are lost, or get the value `far_m`.
        far_m: value of what is too far; NaN for none.
        step_m: unit of the image's integers; 0 for floating-point depth.
        width_px: columns of the sensor, from which the image is resampled; 0 for those of the image.
        field_size: size of the field of view; 1 touches the image's edges.
        multipath: how strongly corners bow, as a share of their depth.
        filled: holes are filled from their surroundings.
    """

    kind: str = ''
    as_recorded: bool = False
    min_m: float = 0.0
    max_m: float = math.inf
    far_m: float = math.nan
    step_m: float = 0.0
    width_px: int = 0
    field_of_view: FieldOfView = FieldOfView.FULL
    field_size: float = 1.0
    multipath: float = 0.0
    filled: bool = False
    triangulation: Triangulation = field(default_factory=Triangulation)
    noise: DepthNoise = field(default_factory=DepthNoise)
    losses: Losses = field(default_factory=Losses)
    edges: Edges = field(default_factory=Edges)
    registration: Registration = field(default_factory=Registration)

    def __post_init__(self) -> None:
        if not 0 <= self.min_m < self.max_m:
            raise ConfigError(f'depth limits must satisfy 0 <= min_m < max_m, got {self.min_m} and {self.max_m}')
