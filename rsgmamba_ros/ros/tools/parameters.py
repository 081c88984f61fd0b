"""Parameters of the tools: each tool has a frozen dataclass, whose fields are declared and read here."""
from __future__ import annotations

from dataclasses import field, fields, MISSING
from typing import TYPE_CHECKING, TypeVar

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Value = TypeVar('Value', bool, int, float, str)


Parameters = TypeVar('Parameters', bound='DataclassInstance')


def parameter(default: Value, description: str) -> Value:
    """A field of a tool's parameters.

    Args:
        default: its type is the parameter's type.
        description: for people, with the unit.
    """
    value: Value = field(default=default, metadata={'description': description})
    return value


def string_list(description: str) -> tuple[str, ...]:
    """A field that holds strings, none by default."""
    # ROS cannot tell the type of an empty list: one empty string stands for it.
    value: tuple[str, ...] = field(default_factory=lambda: ('',), metadata={'description': description})
    return value


def read_parameters(node: Node, kind: type[Parameters]) -> Parameters:
    """Declare a parameter for each field and give their values.

    Raises:
        ConfigError: the dataclass refuses a value.
    """
    values = {}
    for entry in fields(kind):
        default = entry.default if entry.default_factory is MISSING else list(entry.default_factory())
        descriptor = ParameterDescriptor(description=entry.metadata['description'])
        values[entry.name] = node.declare_parameter(entry.name, default, descriptor).value
    return kind(**values)
