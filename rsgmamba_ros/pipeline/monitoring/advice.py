"""Which parameter to set where images are readable and make no sense: another unit, a simulation without noise."""
from __future__ import annotations

from collections.abc import Collection

import numpy as np

from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig, ThermalStretch

#: Share of the measurements outside the network's range beyond which the unit is in doubt. Depth of a room in 0.1 mm
#: that is read as millimetres has 0.8 to 1. Sensors read as they are have less than 0.4, unless all is too near.
_OUTSIDE = 0.7
#: Fewer measurements than this tell nothing.
_FEWEST = 16

_FROZEN = ('the images repeat: a frozen sensor, or a simulated one without noise; for the latter set expect_noise to '
           'false')


def advice(modality: Modality, values: np.ndarray, config: PreprocessingConfig, *, causes: Collection[str]) -> str:
    """A sentence that names the parameter to set; empty if nothing is in doubt.

    Args:
        values: as `sensor_units` gives them: (H, W, 3) uint8 or (H, W) float32.
        causes: of the image's signal quality.
    """
    if 'frozen' in causes:
        return _FROZEN
    if modality is Modality.DEPTH:
        depth = config.depth
        return _outside(values, depth.min_m, depth.max_m, f'{depth.min_m:g} to {depth.max_m:g} m',
                        'set depth_unit_m to the metres of one step (float depth must be in metres)')
    thermal = config.thermal
    if modality is Modality.THERMAL and thermal.stretch is ThermalStretch.RANGE:
        return _outside(values, thermal.low, thermal.high, f'{thermal.low:g} to {thermal.high:g} {thermal.unit}',
                        'set thermal_scale and thermal_offset, or thermal_stretch to percentile')
    return ''


def _outside(values: np.ndarray, low: float, high: float, limits: str, remedy: str) -> str:
    sample = values[::8, ::8]
    sample = sample[np.isfinite(sample)]
    if sample.size < _FEWEST:
        return ''
    share = float(((sample < low) | (sample > high)).mean())
    if share < _OUTSIDE:
        return ''
    return (f'{100 * share:.0f} % of the pixels lie outside {limits}, the range of the network (median '
            f'{np.median(sample):.4g}): {remedy}')
