"""Sensor units -> the network's input, with the arithmetic on the device: small arrays travel, floats are made there.

The same as `preprocessing.network_input` to within float32's rounding.

Note (what stays on the host): resizing, since OpenCV's mean over areas has no equal in torch, and images mostly shrink
by it; the range of a thermal image, since its percentiles sort as many values as are valid; and the holes of a thermal
image, since they are filled before that and most cameras have none.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rsgmamba_ros.pipeline.preprocessing import thermal_range
from rsgmamba_ros.pipeline.resampling import fill_small_holes, resize
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import DepthLaw, DepthScaling, INVALID_VALUE, PreprocessingConfig


class DeviceInput(ABC):
    """One modality's way from the host to the network; shapes and dtypes are the same for every image.

    Attributes:
        count: arrays that travel.
    """

    count = 1

    def __init__(self, config: PreprocessingConfig, device: torch.device):
        self.config = config
        self.device = device

    @abstractmethod
    def arrays(self, values: np.ndarray) -> tuple[np.ndarray, ...]:
        """What travels to the device.

        Args:
            values: an image as `sensor_units` gives it: (H, W, 3) uint8 or (H, W) float32.

        Returns:
            `count` arrays; their shapes and dtypes are the subclass's.
        """

    @abstractmethod
    def normalised(self, tensors: Sequence[Tensor]) -> Tensor:
        """Bring what has arrived on the device to the network's range.

        Args:
            tensors: `arrays`, on the device.

        Returns:
            (3, H, W) or (1, H, W) float32, without padding.
        """

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in the network's input, pixels."""
        return self.config.height, self.config.width

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Bring what has arrived on the device to the network's range and size.

        Args:
            tensors: `arrays`, on the device.

        Returns:
            (3, H, W) or (1, H, W) float32 of the padded size.
        """
        (height, width), (padded_height, padded_width) = self.size, self.config.padded_size
        return F.pad(self.normalised(tensors), (0, padded_width - width, 0, padded_height - height), mode='replicate')


class RgbInput(DeviceInput):
    """RGB travels as bytes."""

    def __init__(self, config: PreprocessingConfig, device: torch.device):
        super().__init__(config, device)
        mean, std = np.array(config.rgb_mean), np.array(config.rgb_std)
        self._factor, self._shift = (torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]
                                     for values in (1 / (255 * std), mean / std))

    def arrays(self, values: np.ndarray) -> tuple[np.ndarray, ...]:
        """(H, W, 3) uint8."""
        return (resize(values, *self.size),)

    def normalised(self, tensors: Sequence[Tensor]) -> Tensor:
        """See `DeviceInput`."""
        pixels, = tensors
        return pixels.permute(2, 0, 1).float() * self._factor - self._shift


class DepthInput(DeviceInput):
    """Depth travels as metres."""

    def arrays(self, values: np.ndarray) -> tuple[np.ndarray, ...]:
        """(H, W) float32, NaN where there is no measurement."""
        return (resize(values, *self.size, nearest=True),)

    def normalised(self, tensors: Sequence[Tensor]) -> Tensor:
        """See `DeviceInput`."""
        metres, = tensors
        return _centred(depth_to_unit(fill_small_holes_on_device(metres[None]), self.config.depth))


class ThermalInput(DeviceInput):
    """Thermal travels in its unit, with the range that it is stretched to."""

    count = 2

    def arrays(self, values: np.ndarray) -> tuple[np.ndarray, ...]:
        """(H, W) float32, NaN where there is no measurement, and (2,) float32: lower end and width of the range."""
        values = fill_small_holes(resize(values, *self.size))
        return values, np.array(thermal_range(values, self.config.thermal))

    def normalised(self, tensors: Sequence[Tensor]) -> Tensor:
        """See `DeviceInput`."""
        values, limits = tensors
        return _centred(((values[None] - limits[0]) / limits[1]).clamp(0, 1))


INPUTS: dict[Modality, type[DeviceInput]] = {
    Modality.RGB: RgbInput, Modality.DEPTH: DepthInput, Modality.THERMAL: ThermalInput,
}


def fill_small_holes_on_device(values: Tensor) -> Tensor:
    """`resampling.fill_small_holes` of a tensor, (1, H, W) float32 -> (1, H, W)."""
    invalid = torch.isnan(values)
    around = F.pad(torch.stack((torch.where(invalid, 0.0, values), (~invalid).float())), (1, 1, 1, 1), mode='replicate')
    total, weight = F.avg_pool2d(around, 3, stride=1)
    return torch.where(invalid & (weight > 0.3), total / weight, values)


def depth_to_unit(metres: Tensor, scaling: DepthScaling) -> Tensor:
    """`preprocessing.depth_to_unit` of a tensor, (1, H, W) float32 -> (1, H, W)."""
    near, far = float(np.float32(scaling.min_m)), float(np.float32(scaling.max_m))
    return _DEPTH_LAWS[scaling.law](metres.clamp(near, far), near, far)


_DEPTH_LAWS: dict[DepthLaw, Callable[[Tensor, float, float], Tensor]] = {
    DepthLaw.LOG: lambda metres, near, far: torch.log(metres / near) / float(np.log(far / near)),
    DepthLaw.INVERSE: lambda metres, near, far: (1 / near - 1 / metres) / (1 / near - 1 / far),
    DepthLaw.LINEAR: lambda metres, near, far: (metres - near) / (far - near),
}


def _centred(unit: Tensor) -> Tensor:
    """(1, H, W) in [0, 1], with NaN -> (1, H, W) in the network's range, with `INVALID_VALUE`."""
    return torch.nan_to_num((unit - 0.5) * 4.0, nan=INVALID_VALUE)
