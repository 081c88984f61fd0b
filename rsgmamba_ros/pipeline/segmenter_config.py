"""What the user of a checkpoint may choose. Without torch: settings are read where no network runs."""
from __future__ import annotations

from dataclasses import dataclass

from rsgmamba_ros.vocabulary.errors import ConfigError


@dataclass(frozen=True)
class SegmenterConfig:
    """What the user of a checkpoint may choose.

    Attributes:
        min_signal_quality: an image below it is not given to the network while another modality is usable, 0..1.
        restore: whether images of low learned reliability are repaired before they are labelled, see `restoration`;
            the network then runs up to six times for a bundle. The reliability stays that of the image as it came.
        late_fusion: whether the network also segments each image of a pair alone and averages the predictions, where
            it was made for that, see `network.fusion.late_fusion`; without it the network is faster.
        output_height: of label map and confidence, pixels; 0 for the leading image's height.
        output_width: likewise; both or none are 0.
        thermal_scale: the thermal camera's scale, where it is not the checkpoint's; see `ThermalScaling`.
        thermal_offset: likewise.
        thermal_stretch: a `ThermalStretch`, or `checkpoint` for that of the checkpoint.
        expect_noise: whether equal images are those of a frozen sensor; a simulated camera without noise repeats its
            image while nothing moves.
        sensor_profile: file of the sensor profile that images are compared with; empty for the general prior.
    """

    min_signal_quality: float = 0.1
    restore: bool = False
    late_fusion: bool = True
    output_height: int = 0
    output_width: int = 0
    thermal_scale: float | None = None
    thermal_offset: float | None = None
    thermal_stretch: str = 'checkpoint'
    expect_noise: bool = True
    sensor_profile: str = ''

    def __post_init__(self) -> None:
        if not 0 <= self.min_signal_quality <= 1:
            raise ConfigError(f'min_signal_quality is {self.min_signal_quality}; it must lie in 0..1')
        if (self.output_height > 0) != (self.output_width > 0) or min(self.output_height, self.output_width) < 0:
            raise ConfigError(f'output size is {self.output_height}x{self.output_width}; give both sides or neither')
