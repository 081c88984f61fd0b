"""The QoS profiles of every topic, each with its reason.

No deadline, liveliness or lifespan is asked for: a publisher that offers none would be incompatible, and silent.
"""
from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TypedDict

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

#: Cameras, as REP-2003 has it: matches best-effort and reliable publishers, and an image lost is not sent again.
SENSOR_DATA = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.BEST_EFFORT,
                         durability=DurabilityPolicy.VOLATILE)

#: For publishers known to be reliable: no image of a bag, or over a poor link, is lost. Best-effort ones do not match.
#: Deep, because later messages overwrite those that a stalled subscriber has not taken yet.
RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE,
                      durability=DurabilityPolicy.VOLATILE)

#: For publishers that offer it, with the parameter `input_qos` at `auto`: as deep as for cameras, so that large images
#: of a stalled node do not fill the memory.
RELIABLE_CAMERA = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE,
                             durability=DurabilityPolicy.VOLATILE)

#: Results: reliable, so that subscribers of both kinds match.
RESULT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE,
                    durability=DurabilityPolicy.VOLATILE)

#: What is published once, and delivered to later subscribers too: the class names.
LATCHED = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)

#: Values of the parameter `input_qos` that name a profile; `auto` chooses between profiles by what publishers offer.
INPUT_QOS = {'sensor_data': SENSOR_DATA, 'reliable': RELIABLE}

__all__ = ['INPUT_QOS', 'LATCHED', 'RELIABLE', 'RELIABLE_CAMERA', 'RESULT', 'SENSOR_DATA',
           'SubscriptionEventCallbacks', 'UnsupportedEventTypeError', 'is_overridden', 'overridable']


class OverridableQoS(TypedDict):
    """Arguments of `Node.create_publisher` and `Node.create_subscription`."""

    qos_profile: QoSProfile
    qos_overriding_options: QoSOverridingOptions


def overridable(profile: QoSProfile, *, but_reliability: bool = False) -> OverridableQoS:
    """Keyword arguments that let the user change a profile by the parameters `qos_overrides.<topic>...`.

    Args:
        but_reliability: leave the reliability out: its parameter would keep the value of the first subscription.
    """
    options = QoSOverridingOptions.with_default_policies()
    if but_reliability:
        options = QoSOverridingOptions([kind for kind in options.policy_kinds if kind is not QoSPolicyKind.RELIABILITY])
    # A copy: rclpy writes the overrides into the profile that it is given.
    return {'qos_profile': copy(profile), 'qos_overriding_options': options}


def is_overridden(node: Node, topic: str) -> bool:
    """Whether the user sets the reliability of a subscription by `qos_overrides.<topic>.subscription.reliability`."""
    return f'qos_overrides.{topic}.subscription.reliability' in overrides(node)


def overrides(node: Node) -> Mapping[str, object]:
    """The parameters that a node was given at its start, declared or not."""
    # rclpy has no public access to those that are not declared.
    given: Mapping[str, object] = node._parameter_overrides
    return given
