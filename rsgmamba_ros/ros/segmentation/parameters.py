"""The node's parameters: one table with descriptions and ranges, and what becomes of them."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import math
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from rsgmamba_ros.ros.qos import INPUT_QOS
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES

Value = bool | int | float | str


@dataclass(frozen=True)
class NodeParameter:
    """One parameter.

    Attributes:
        default: its value and, by its type, the parameter's type.
        description: for people, with the unit's meaning.
        limits: smallest and largest value of a number; None for no limit.
        choices: allowed strings; empty for any.
        at_run_time: whether it may be changed while the node is configured.
    """

    default: Value
    description: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    at_run_time: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """Give what rclpy and its tools need to show and check the parameter."""
        descriptor = ParameterDescriptor(description=self.description)
        if self.choices:
            descriptor.additional_constraints = f'one of: {", ".join(self.choices)}'
        if self.limits and isinstance(self.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(self.limits[0]),
                                                                  to_value=float(self.limits[1]))]
        elif self.limits:
            descriptor.integer_range = [IntegerRange(from_value=int(self.limits[0]), to_value=int(self.limits[1]),
                                                     step=1)]
        return descriptor


_TRANSPORTS = ('auto', 'raw', 'compressed')
_TRANSPORT = ('message type of the topic: raw (Image), compressed (CompressedImage), or auto: compressed if the topic '
              'name ends in /compressed or /compressedDepth')

PARAMETERS: Mapping[str, NodeParameter] = {
    'autostart': NodeParameter(False, 'configure and activate the node at start, without a lifecycle manager'),
    'checkpoint': NodeParameter('', 'checkpoint file, or name of a shipped network; empty for the shipped default of '
                                    'the modality'),
    'modality': NodeParameter('depth', "auxiliary modality beside RGB; must equal the checkpoint's",
                              choices=tuple(map(str, AUXILIARY_MODALITIES))),
    'device': NodeParameter('auto', 'torch device: cpu, cuda, cuda:1, ...; auto takes CUDA if available'),
    'precision': NodeParameter('auto', 'arithmetic of the network; auto depends on the device',
                               choices=('auto', 'float32', 'bfloat16', 'float16')),
    'threads': NodeParameter(0, "CPU threads of the network; 0 for torch's default, reduced while other programs use "
                                'the cores', limits=(0, 64)),
    'queue_size': NodeParameter(1, 'number of bundles that may wait while the network is busy; the oldest is dropped '
                                   'and counted', limits=(1, 100)),
    'input_qos': NodeParameter('sensor_data', 'sensor_data (best effort) works with every publisher; reliable loses no '
                                              'image but needs reliable publishers', choices=tuple(INPUT_QOS)),
    'rgb.transport': NodeParameter('auto', _TRANSPORT, choices=_TRANSPORTS),
    'auxiliary.transport': NodeParameter('auto', _TRANSPORT, choices=_TRANSPORTS),
    'max_skew_s': NodeParameter(0.05, 'largest stamp difference of two images in one bundle, seconds',
                                limits=(0.0, 10.0)),
    'max_wait_s': NodeParameter(0.1, 'longest time that a leading image waits for its partner, seconds',
                                limits=(0.0, 10.0)),
    'max_delay_s': NodeParameter(0.15, 'largest difference between the delivery delays of the two cameras, seconds; '
                                       'a larger stamp difference is a clock fault', limits=(0.0, 10.0)),
    'auxiliary_clock_offset_s': NodeParameter(0.0, 'known clock error of the auxiliary camera, seconds; subtracted '
                                                   'from its stamps', limits=(-3600.0, 3600.0)),
    'estimate_clock_offset': NodeParameter(False, 'estimate the clock offset from arrival times and correct it; '
                                                  'otherwise images with a clock fault are not paired'),
    'lead_with_auxiliary': NodeParameter(True, 'continue with the auxiliary images alone while RGB is missing'),
    'min_signal_quality': NodeParameter(0.1, 'an image below this quality (frozen, empty, torn) is left out if the '
                                             'other one is usable', limits=(0.0, 1.0), at_run_time=True),
    'restore': NodeParameter(False, 'repair images of low learned reliability before they are segmented; better labels '
                                    'when a sensor fails, but the network runs up to six times for a bundle',
                             at_run_time=True),
    'late_fusion': NodeParameter(True, 'also segment each image alone and average the predictions, weighted by '
                                       'reliability, if the network supports it; better labels in 1.6 times the time'),
    'output_height': NodeParameter(0, 'height of label map and confidence, pixels; 0 for the height of the leading '
                                      'image', limits=(0, 8192)),
    'output_width': NodeParameter(0, 'width of label map and confidence, pixels; 0 for the width of the leading image',
                                  limits=(0, 8192)),
    'min_confidence': NodeParameter(0.0, 'pixels below this confidence are published as unlabelled_value; 0 keeps all',
                                    limits=(0.0, 1.0), at_run_time=True),
    'unlabelled_value': NodeParameter(255, 'value of unlabelled pixels in the label map', limits=(0, 255),
                                      at_run_time=True),
    'thermal_scale': NodeParameter(math.nan, "temperature = pixel * scale + offset; NaN for the checkpoint's value"),
    'thermal_offset': NodeParameter(math.nan, "temperature = pixel * scale + offset; NaN for the checkpoint's value"),
    'overlay_alpha': NodeParameter(0.5, 'opacity of the class colours in the overlay', limits=(0.0, 1.0),
                                   at_run_time=True),
    'diagnostics_period_s': NodeParameter(1.0, 'time between two messages on /diagnostics, seconds',
                                          limits=(0.1, 60.0)),
}


def declare(node: Node) -> None:
    """Declare every parameter of the table, with its description and range."""
    for name, parameter in PARAMETERS.items():
        node.declare_parameter(name, parameter.default, parameter.descriptor())


def values(node: Node) -> dict[str, Any]:
    """Give the present value of every parameter of the table.

    Raises:
        ConfigError: one is not of its choices; types and ranges have been rclpy's concern.
    """
    present = {name: node.get_parameter(name).value for name in PARAMETERS}
    problems = [problem for name, value in present.items() if (problem := _choice_problem(name, value))]
    if problems:
        raise ConfigError('; '.join(problems))
    return present


def check(changes: Iterable[Parameter], *, is_configured: bool) -> SetParametersResult:
    """Say whether these changes are allowed now."""
    for change in changes:
        if change.name not in PARAMETERS:
            continue
        problem = _choice_problem(change.name, change.value)
        if not problem and is_configured and not PARAMETERS[change.name].at_run_time:
            problem = f'{change.name} is read when the node is configured: deactivate and clean it up first'
        if problem:
            return SetParametersResult(successful=False, reason=problem)
    return SetParametersResult(successful=True)


def _choice_problem(name: str, value: Value) -> str:
    choices = PARAMETERS[name].choices
    return f'{name} is {value!r}; expected one of {list(choices)}' if choices and value not in choices else ''
