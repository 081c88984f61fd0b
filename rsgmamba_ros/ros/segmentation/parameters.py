"""The node's parameters as rclpy wants them: declared with description and range, read, and checked when changed."""
from __future__ import annotations

from collections.abc import Iterable

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from rsgmamba_ros.pipeline.node_settings import (
    nearest_parameter,
    NodeParameter,
    NodeSettings,
    PARAMETERS,
    parse_settings,
)
from rsgmamba_ros.ros.qos import overrides

__all__ = ['PARAMETERS', 'check', 'declare', 'settings', 'unknown']

#: Parameters that rclpy declares itself, some of them late.
_OF_RCLPY = ('qos_overrides.', 'use_sim_time', 'start_type_description_service')


def declare(node: Node) -> None:
    """Declare every parameter of the table, with its description and range."""
    for name, parameter in PARAMETERS.items():
        node.declare_parameter(name, parameter.default, _descriptor(parameter))


def unknown(node: Node) -> list[str]:
    """A line for each parameter that the node was given and does not have: it is ignored, and may be misspelt."""
    return [f'the parameter {name!r} is unknown and ignored; did you mean {nearest_parameter(name)!r}?'
            for name in overrides(node) if not node.has_parameter(name) and not name.startswith(_OF_RCLPY)]


def settings(node: Node) -> NodeSettings:
    """Give the present value of every parameter of the table.

    Raises:
        ConfigError: one is not among its choices; types and ranges have been checked by rclpy.
    """
    return parse_settings({name: node.get_parameter(name).value for name in PARAMETERS}, where='parameters')


def check(changes: Iterable[Parameter], *, is_configured: bool) -> SetParametersResult:
    """Say whether these changes are allowed now."""
    for change in changes:
        if change.name not in PARAMETERS:
            continue
        parameter = PARAMETERS[change.name]
        problem = parameter.problem(change.value)
        if not problem and is_configured and not parameter.at_run_time:
            problem = f'{change.name} is read when the node is configured: deactivate and clean it up first'
        if problem:
            return SetParametersResult(successful=False, reason=problem)
    return SetParametersResult(successful=True)


def _descriptor(parameter: NodeParameter) -> ParameterDescriptor:
    """Give what rclpy and its tools need to show and check the parameter."""
    descriptor = ParameterDescriptor(description=parameter.description)
    if parameter.choices:
        descriptor.additional_constraints = f'one of: {", ".join(parameter.choices)}'
    if parameter.limits is None:
        return descriptor
    low, high = parameter.limits
    if isinstance(parameter.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    else:
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor
