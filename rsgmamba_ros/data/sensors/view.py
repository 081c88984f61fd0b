"""How a camera is used: near a table top, or in a room."""
from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from rsgmamba_ros.data.sensors.randomness import log_uniform

#: From a table top at 0.3 to 1 m to a hall; NYU Depth V2 has a median depth of 2.5 m.
_DEPTH_SCALE = (0.35, 1.6)
#: Where surfaces of rooms begin and most of them end, metres (6th and 83rd percentile of NYU Depth V2). A scale that
#: brings them nearer or farther than the camera can measure is not drawn: nobody would use the camera so.
_NEAR_SURFACES_M = 1.2
_FAR_SURFACES_M = 4.0
_UNSCALED_SHARE = 0.4


@dataclass(frozen=True)
class View:
    """What stays the same in all images of a mounted camera.

    Attributes:
        depth_scale: factor on all distances of the scene.
    """

    depth_scale: float = 1.0


def draw_view(rng: np.random.Generator, *, min_m: float = 0.0, max_m: float = math.inf) -> View:
    """Draw how a camera is used.

    Args:
        min_m: the nearest distance that it measures.
        max_m: the farthest one.
    """
    if rng.random() < _UNSCALED_SHARE:
        return View()
    low = min(1.0, max(_DEPTH_SCALE[0], min_m / _NEAR_SURFACES_M))
    high = max(1.0, min(_DEPTH_SCALE[1], max_m / _FAR_SURFACES_M))
    return View(log_uniform(low, high, rng))
