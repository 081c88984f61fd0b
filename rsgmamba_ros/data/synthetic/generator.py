"""Makes a world from a seed, and its images at any time."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsgmamba_ros.data.synthetic import sensors
from rsgmamba_ros.data.synthetic.rendering import Camera, render_geometry
from rsgmamba_ros.data.synthetic.world import create_world
from rsgmamba_ros.vocabulary.depth import depth_in_millimetres
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality

_ZERO_CELSIUS_K = 273.15


@dataclass(frozen=True, eq=False)
class Scene:
    """One moment of a synthetic world: the images of its two cameras, and the ground truth.

    Attributes:
        rgb: (H, W, 3) uint8.
        auxiliary: depth in metres, NaN without echo, or temperature in degrees Celsius, (H, W) float32.
        label_map: class of each pixel, see `SYNTHETIC_LABELS`, (H, W) uint8.
        modality: what `auxiliary` is.
        time_s: time in the world, seconds.
    """

    rgb: np.ndarray
    auxiliary: np.ndarray
    label_map: np.ndarray
    modality: Modality
    time_s: float

    @property
    def auxiliary_encoding(self) -> str:
        """ROS encoding of `encoded_auxiliary`."""
        return '16UC1' if self.modality is Modality.DEPTH else 'mono16'

    @property
    def encoded_auxiliary(self) -> np.ndarray:
        """The auxiliary image as a driver sends it: depth in mm, 0 without echo, or 0.01 K; (H, W) uint16."""
        if self.modality is Modality.DEPTH:
            return depth_in_millimetres(self.auxiliary)
        return np.round((self.auxiliary + _ZERO_CELSIUS_K) * 100).astype(np.uint16)


class SceneGenerator:
    """Renders the world of one seed. Equal arguments give equal images, in any order of calls.

    For independent scenes, as in training, use one generator for each seed. A held-out set has other seeds.

    Args:
        seed: of the world.
        height: of the images, pixels.
        width: of the images, pixels.
        auxiliary: DEPTH or THERMAL.

    Raises:
        ValueError: the auxiliary modality is RGB, or the size is not positive.
    """

    def __init__(self, seed: int, *, height: int = 240, width: int = 320, auxiliary: Modality = Modality.DEPTH):
        if auxiliary not in AUXILIARY_MODALITIES:
            raise ValueError(f'auxiliary is {auxiliary}; a synthetic scene has depth or thermal beside RGB')
        if height < 1 or width < 1:
            raise ValueError(f'a scene of {height}x{width} pixels has no pixel')
        self.seed, self.auxiliary = seed, auxiliary
        self.world = create_world(np.random.default_rng([seed, 0]))
        self.camera = Camera(height, width)

    def render(self, time_s: float = 0.0) -> Scene:
        """Render the scene at a time in seconds; a later image shows the same objects, moved."""
        rng = np.random.default_rng([self.seed, 1, round(time_s * 1e6) & 0xFFFF_FFFF_FFFF])
        buffers = render_geometry(self.world, self.camera, time_s)
        rgb = sensors.rgb_image(buffers, self.world, time_s=time_s, rng=rng)
        if self.auxiliary is Modality.DEPTH:
            auxiliary = sensors.depth_image(buffers, focal_px=self.camera.focal_px, rng=rng)
        else:
            auxiliary = sensors.thermal_image(buffers, self.world, time_s=time_s, rng=rng)
        return Scene(rgb, auxiliary, np.take(buffers.labels, buffers.surface), self.auxiliary, time_s)

    @property
    def camera_matrix(self) -> np.ndarray:
        """Intrinsic matrix of both cameras, pixels, (3, 3)."""
        focal, (x, y) = self.camera.focal_px, self.camera.centre
        return np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]])
