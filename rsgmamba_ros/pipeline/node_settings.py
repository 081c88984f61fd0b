"""The node's parameters as one dataclass, and the settings of the pipeline that follow from them.

The node and the replay of a bag both build their parts from it. So a new parameter reaches both, or says with
`node_only` why a replay does without it. Nothing here needs ROS or torch.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
import math
from typing import TypeVar

from rsgmamba_ros.pipeline.segmenter_config import SegmenterConfig
from rsgmamba_ros.pipeline.synchronisation.config import SynchroniserConfig
from rsgmamba_ros.vocabulary.config_file import parse_config
from rsgmamba_ros.vocabulary.decoding import Decoding, DEFAULT_DECODING
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality
from rsgmamba_ros.vocabulary.preprocessing import ThermalStretch

Value = bool | int | float | str
T = TypeVar('T', bool, int, float, str)

_TRANSPORTS = ('auto', 'raw', 'compressed')
_TRANSPORT = ('message type of the topic: raw (Image), compressed (CompressedImage), or auto: compressed if the topic '
              'name ends in /compressed or /compressedDepth')
_TEMPERATURE = "temperature = pixel * scale + offset; NaN for the checkpoint's value"
_BAG_HAS_TYPES = 'a bag says what type each topic has'
_WHOLE_LABEL_MAP = 'a replay scores and stores the label of every pixel'


@dataclass(frozen=True)
class NodeParameter:
    """What is known of one parameter beside its value.

    Attributes:
        name: as ROS has it; may hold dots.
        default: its value and, by its type, the parameter's type.
        description: for people, with the unit's meaning.
        limits: smallest and largest value of a number; None for no limit.
        choices: allowed strings; empty for any.
        at_run_time: whether it may be changed while the node is configured.
        node_only: why a replay does not use it; empty if it does.
    """

    name: str
    default: Value
    description: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    at_run_time: bool = False
    node_only: str = ''

    def problem(self, value: Value) -> str:
        """Why the value cannot be used; empty if it can."""
        if self.choices and value not in self.choices:
            return f'{self.name} is {value!r}; expected one of {list(self.choices)}'
        if self.limits and not (isinstance(value, (int, float)) and self.limits[0] <= value <= self.limits[1]):
            return f'{self.name} is {value!r}; it must lie in {self.limits[0]:g}..{self.limits[1]:g}'
        return ''


def _parameter(name: str, default: T, description: str, *, limits: tuple[float, float] | None = None,
               choices: tuple[str, ...] = (), at_run_time: bool = False, node_only: str = '') -> T:
    parameter = NodeParameter(name, default, description, limits, choices, at_run_time, node_only)
    return field(default=default, metadata={'parameter': parameter})


@dataclass(frozen=True)
class NodeSettings:
    """A value for every parameter. The descriptions are those that `ros2 param describe` shows.

    Raises:
        ConfigError: a value is not among the choices or outside the limits of its parameter.
    """

    autostart: bool = _parameter(
        'autostart', False, 'configure and activate the node at start, without a lifecycle manager',
        node_only='a replay has no lifecycle')
    exit_on_failure: bool = _parameter(
        'exit_on_failure', False, 'end with status 1 if autostart fails; otherwise the node stays unconfigured and '
        'publishes the reason on /diagnostics', node_only='a replay has no lifecycle')
    checkpoint: str = _parameter(
        'checkpoint', '', 'checkpoint file, or name of a shipped network; empty for the shipped default of the '
        'modality', node_only='the command line of a replay names the network')
    modality: str = _parameter(
        'modality', 'depth', "auxiliary modality beside RGB; must equal the checkpoint's",
        choices=tuple(map(str, AUXILIARY_MODALITIES)))
    device: str = _parameter(
        'device', 'auto', 'torch device: cpu, cuda, cuda:1, ...; auto takes CUDA if available')
    precision: str = _parameter(
        'precision', 'auto', 'arithmetic of the network; auto depends on the device',
        choices=('auto', 'float32', 'bfloat16', 'float16'))
    threads: int = _parameter(
        'threads', 0, "CPU threads of the network; 0 for torch's default, reduced while other programs use the cores",
        limits=(0, 64))
    queue_size: int = _parameter(
        'queue_size', 1, 'number of bundles that may wait while the network is busy; the oldest is dropped and '
        'counted', limits=(1, 100), node_only='a replay waits for the network and drops no bundle')
    input_qos: str = _parameter(
        'input_qos', 'auto', 'auto asks for what the publishers offer; sensor_data (best effort) works with every '
        'publisher; reliable loses no image but needs reliable publishers',
        choices=('auto', 'sensor_data', 'reliable'), node_only='a bag loses no image')
    rgb_transport: str = _parameter(
        'rgb.transport', 'auto', _TRANSPORT, choices=_TRANSPORTS, node_only=_BAG_HAS_TYPES)
    auxiliary_transport: str = _parameter(
        'auxiliary.transport', 'auto', _TRANSPORT, choices=_TRANSPORTS, node_only=_BAG_HAS_TYPES)
    max_image_pixels: int = _parameter(
        'max_image_pixels', DEFAULT_DECODING.max_image_pixels, 'larger images are refused before they are decoded',
        limits=(1, 1e9))
    depth_unit_m: float = _parameter(
        'depth_unit_m', DEFAULT_DECODING.depth_unit_m, 'metres of one step of integer depth; REP-118 has millimetres, '
        'some cameras send 0.0001', limits=(1e-6, 1.0))
    max_skew_s: float = _parameter(
        'max_skew_s', SynchroniserConfig.max_skew_s, 'largest stamp difference of two images in one bundle, seconds',
        limits=(0.0, 10.0))
    max_wait_s: float = _parameter(
        'max_wait_s', SynchroniserConfig.max_wait_s, 'longest time that a leading image waits for its partner, '
        'seconds', limits=(0.0, 10.0))
    max_delay_s: float = _parameter(
        'max_delay_s', SynchroniserConfig.max_delay_s, 'largest difference between the delivery delays of the two '
        'cameras, seconds; a larger stamp difference is a clock fault', limits=(0.0, 10.0))
    auxiliary_clock_offset_s: float = _parameter(
        'auxiliary_clock_offset_s', 0.0, 'known clock error of the auxiliary camera, seconds; subtracted from its '
        'stamps', limits=(-3600.0, 3600.0))
    estimate_clock_offset: bool = _parameter(
        'estimate_clock_offset', SynchroniserConfig.estimate_clock_offset, 'estimate the clock offset from arrival '
        'times and correct it; otherwise images with a clock fault are not paired')
    lead_with_auxiliary: bool = _parameter(
        'lead_with_auxiliary', SynchroniserConfig.lead_with_auxiliary, 'continue with the auxiliary images alone '
        'while RGB is missing')
    reuse_partner: bool = _parameter(
        'reuse_partner', SynchroniserConfig.reuse_partner, 'pair an image with several leading images, each within '
        'max_skew_s, if there is no unused one; its causes then have `reused`')
    min_signal_quality: float = _parameter(
        'min_signal_quality', SegmenterConfig.min_signal_quality, 'an image below this quality (frozen, empty, torn) '
        'is left out if the other one is usable', limits=(0.0, 1.0), at_run_time=True)
    restore: bool = _parameter(
        'restore', SegmenterConfig.restore, 'repair images of low learned reliability before they are segmented; '
        'better labels when a sensor fails, but the network runs up to six times for a bundle', at_run_time=True)
    late_fusion: bool = _parameter(
        'late_fusion', SegmenterConfig.late_fusion, 'also segment each image alone and average the predictions, '
        'weighted by reliability, if the network supports it; better labels in 1.6 times the time')
    output_height: int = _parameter(
        'output_height', SegmenterConfig.output_height, 'height of label map and confidence, pixels; 0 for the '
        'height of the leading image', limits=(0, 8192))
    output_width: int = _parameter(
        'output_width', SegmenterConfig.output_width, 'width of label map and confidence, pixels; 0 for the width of '
        'the leading image', limits=(0, 8192))
    min_confidence: float = _parameter(
        'min_confidence', 0.0, 'pixels below this confidence are published as unlabelled_value; 0 keeps all',
        limits=(0.0, 1.0), at_run_time=True, node_only=_WHOLE_LABEL_MAP)
    unlabelled_value: int = _parameter(
        'unlabelled_value', 255, 'value of unlabelled pixels in the label map', limits=(0, 255), at_run_time=True,
        node_only=_WHOLE_LABEL_MAP)
    thermal_scale: float = _parameter('thermal_scale', math.nan, _TEMPERATURE)
    thermal_offset: float = _parameter('thermal_offset', math.nan, _TEMPERATURE)
    thermal_stretch: str = _parameter(
        'thermal_stretch', SegmenterConfig.thermal_stretch, 'temperatures that the network sees: range (fixed limits), '
        "percentile (1st to 99th of each image, needs no scale), or checkpoint for the checkpoint's choice",
        choices=('checkpoint', *(stretch.value for stretch in ThermalStretch)))
    expect_noise: bool = _parameter(
        'expect_noise', SegmenterConfig.expect_noise, 'equal images are a frozen sensor; false for simulated cameras '
        'without noise, whose images are equal while nothing moves')
    sensor_profile: str = _parameter(
        'sensor_profile', SegmenterConfig.sensor_profile, 'file of the sensor profile, made by `rsgmamba profile` or '
        'the service ~/learn_sensor; empty for the general prior')
    learn_sensor_s: float = _parameter(
        'learn_sensor_s', 10.0, 'time over which ~/learn_sensor collects reference images, seconds',
        limits=(1.0, 600.0), at_run_time=True, node_only='a replay learns no sensor: `rsgmamba profile` does')
    overlay_alpha: float = _parameter(
        'overlay_alpha', 0.5, 'opacity of the class colours in the overlay', limits=(0.0, 1.0), at_run_time=True)
    diagnostics_period_s: float = _parameter(
        'diagnostics_period_s', 1.0, 'time between two messages on /diagnostics, seconds', limits=(0.1, 60.0),
        node_only='a replay checks health once a second of bag time, so that its findings can be compared')

    def __post_init__(self) -> None:
        problems = [problem for item in fields(self)
                    if (problem := item.metadata['parameter'].problem(getattr(self, item.name)))]
        if problems:
            raise ConfigError('; '.join(problems))

    @property
    def auxiliary(self) -> Modality:
        """The modality beside RGB."""
        return Modality(self.modality)

    def synchroniser(self, modalities: tuple[Modality, ...]) -> SynchroniserConfig:
        """The synchroniser's part.

        Args:
            modalities: the streams that there are; the first one leads.
        """
        return SynchroniserConfig(
            leader=modalities[0], modalities=modalities, max_skew_s=self.max_skew_s, max_wait_s=self.max_wait_s,
            max_delay_s=self.max_delay_s, lead_with_auxiliary=self.lead_with_auxiliary,
            clock_offset_s=dict.fromkeys(modalities[1:], self.auxiliary_clock_offset_s),
            estimate_clock_offset=self.estimate_clock_offset, reuse_partner=self.reuse_partner)

    def segmenter(self) -> SegmenterConfig:
        """The segmenter's part."""
        return SegmenterConfig(
            min_signal_quality=self.min_signal_quality, restore=self.restore, late_fusion=self.late_fusion,
            output_height=self.output_height, output_width=self.output_width,
            thermal_scale=_number(self.thermal_scale), thermal_offset=_number(self.thermal_offset),
            sensor_profile=self.sensor_profile, thermal_stretch=self.thermal_stretch, expect_noise=self.expect_noise)

    def decoding(self) -> Decoding:
        """What the decoder of image messages must know."""
        return Decoding(max_image_pixels=self.max_image_pixels, depth_unit_m=self.depth_unit_m)

    def as_parameters(self) -> dict[str, Value]:
        """The values by the parameters' names."""
        return {name: getattr(self, attribute) for name, attribute in _ATTRIBUTES.items()}


#: Every parameter by its name, in the order of the documentation.
PARAMETERS: dict[str, NodeParameter] = {
    item.metadata['parameter'].name: item.metadata['parameter'] for item in fields(NodeSettings)}
_ATTRIBUTES = {item.metadata['parameter'].name: item.name for item in fields(NodeSettings)}


def parse_settings(values: Mapping[str, object], *, where: str) -> NodeSettings:
    """Build settings from values by the parameters' names; what is not named has its default.

    Args:
        where: what to call the source in an error.

    Raises:
        ConfigError: a name is unknown (the nearest known one is named), or a value has the wrong type or range.
    """
    for name in values:
        if name not in PARAMETERS:
            raise ConfigError(f'{where}: unknown parameter {name!r}; did you mean {nearest_parameter(name)!r}?')
    return parse_config({_ATTRIBUTES[name]: value for name, value in values.items()}, NodeSettings, where=where)


def nearest_parameter(name: str) -> str:
    """The known parameter whose name is most like this one."""
    near, = get_close_matches(name, PARAMETERS, n=1, cutoff=0)
    return near


def _number(value: float) -> float | None:
    """NaN is a parameter's way to say that it is not set."""
    return None if math.isnan(value) else value
