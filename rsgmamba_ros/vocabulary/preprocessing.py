"""Settings of the preprocessing: what a network expects of its input. A checkpoint carries them."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from math import isfinite, log

from rsgmamba_ros.vocabulary.errors import ConfigError

#: Both sides of the network's input are multiples of this: the encoder's last stride.
STRIDE = 32

#: Largest side of the network's input, pixels: above it memory ends before time does.
LARGEST_SIDE = 8192

#: Aspect ratios that differ by less count as equal.
SAME_ASPECT = 0.06

#: Normalised auxiliary values lie in [-2, 2]: the width of it.
NORMALISED_RANGE = 4.0

#: Normalised value of a pixel without a measurement: one standard step outside the valid range [-2, 2].
INVALID_VALUE = -3.0


class DepthLaw(str, Enum):
    """How metres are mapped to the unit range before normalisation."""

    LOG = 'log'          #: equal ratios of distance are equal steps
    INVERSE = 'inverse'  #: equal steps of disparity are equal steps
    LINEAR = 'linear'


class ThermalStretch(str, Enum):
    """How the thermal unit is mapped to the unit range."""

    RANGE = 'range'            #: fixed limits `low` and `high`: temperatures keep their meaning
    PERCENTILE = 'percentile'  #: 1st to 99th percentile of each image: for cameras without radiometry


@dataclass(frozen=True)
class DepthScaling:
    """Depth in metres -> network input. Depth outside [min_m, max_m] is clipped to it."""

    min_m: float = 0.4
    max_m: float = 10.0
    law: DepthLaw = DepthLaw.LOG

    def __post_init__(self) -> None:
        if not 0 < self.min_m < self.max_m < float('inf'):
            raise ConfigError(f'depth limits must satisfy 0 < min_m < max_m, got {self.min_m} and {self.max_m}')

    @property
    def log_range(self) -> float:
        """Change of the logarithm of the distance for a change of 1 of the normalised depth, by the law `log`."""
        return log(self.max_m / self.min_m) / NORMALISED_RANGE


@dataclass(frozen=True)
class ThermalScaling:
    """Thermal pixels -> `unit` -> network input.

    Attributes:
        scale: unit = pixel * scale + offset, for the integer encodings; `32FC1` holds the unit already.
            The default is the radiometric mode of Lepton and Boson cameras: hundredths of kelvin.
        offset: see `scale`.
        unit: name of the unit, for people: `celsius`, `kelvin`, `raw`.
        low: value that becomes the lower end of the network's range, in `unit`; for the stretch `range`.
        high: the upper end.
    """

    scale: float = 0.01
    offset: float = -273.15
    unit: str = 'celsius'
    stretch: ThermalStretch = ThermalStretch.RANGE
    low: float = 0.0
    high: float = 50.0

    def __post_init__(self) -> None:
        if not all(map(isfinite, (self.scale, self.offset, self.low, self.high))):
            raise ConfigError('thermal scale, offset and limits must be finite numbers')
        if not self.low < self.high:
            raise ConfigError(f'thermal limits must satisfy low < high, got {self.low} and {self.high}')
        if self.scale == 0:
            raise ConfigError('thermal scale is 0: every pixel would have the same value')


@dataclass(frozen=True)
class PreprocessingConfig:
    """What a checkpoint expects of its input. Plain values only, so that it can be stored as JSON.

    Attributes:
        height: images are resized to it, then padded below to a multiple of 32, pixels.
        width: likewise, padded on the right.
        keep_aspect: whether images of another aspect ratio keep theirs, see `for_image`.
        rgb_mean: ImageNet's, of RGB in 0..1.
        rgb_std: likewise.
    """

    height: int = 240
    width: int = 320
    keep_aspect: bool = False
    rgb_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    rgb_std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    depth: DepthScaling = field(default_factory=DepthScaling)
    thermal: ThermalScaling = field(default_factory=ThermalScaling)

    def __post_init__(self) -> None:
        if min(self.height, self.width) < STRIDE:
            raise ConfigError(f'network input is {self.height}x{self.width}; both sides must be at least {STRIDE}')
        if max(self.height, self.width) > LARGEST_SIDE:
            raise ConfigError(f'network input is {self.height}x{self.width}; both sides must be at most {LARGEST_SIDE}')
        if not all(map(isfinite, self.rgb_mean)) or not all(0 < std < float('inf') for std in self.rgb_std):
            raise ConfigError(f'rgb_mean and rgb_std must be finite, and rgb_std above 0, got {self.rgb_mean} and '
                              f'{self.rgb_std}')

    def for_image(self, height: int, width: int) -> PreprocessingConfig:
        """The same for an image of this size, pixels.

        With `keep_aspect` the image is scaled to fit into `height` x `width`, and its sides are rounded to multiples of
        32 instead of being padded, so nothing but image reaches the network. Aspect ratios within 6 % of the
        network's own count as equal.
        """
        own, other = self.width / self.height, width / height
        if not self.keep_aspect or max(own, other) < (1 + SAME_ASPECT) * min(own, other):
            return self
        scale = min(self.height / height, self.width / width)
        fitted_height, fitted_width = (max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in (height, width))
        return replace(self, height=fitted_height, width=fitted_width)

    @property
    def padded_size(self) -> tuple[int, int]:
        """Height and width of the tensor that the network gets, pixels."""
        return padded(self.height), padded(self.width)


def padded(side: int) -> int:
    """The smallest multiple of the network's stride that holds `side` pixels."""
    return -(-side // STRIDE) * STRIDE
