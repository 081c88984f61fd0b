"""The QoS profiles of every topic, each with its reason.

No deadline, liveliness or lifespan is asked for: a publisher that offers none would be incompatible, and silent.
"""
from __future__ import annotations

from copy import copy
from typing import TypedDict

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
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

#: Results: reliable, so that subscribers of both kinds match.
RESULT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE,
                    durability=DurabilityPolicy.VOLATILE)

#: What is published once, and delivered to later subscribers too: the class names.
LATCHED = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)

#: Values of the parameter `input_qos`.
INPUT_QOS = {'sensor_data': SENSOR_DATA, 'reliable': RELIABLE}

__all__ = ['INPUT_QOS', 'LATCHED', 'RELIABLE', 'RESULT', 'SENSOR_DATA', 'SubscriptionEventCallbacks',
           'UnsupportedEventTypeError', 'overridable']


class OverridableQoS(TypedDict):
    """Arguments of `Node.create_publisher` and `Node.create_subscription`."""

    qos_profile: QoSProfile
    qos_overriding_options: QoSOverridingOptions


def overridable(profile: QoSProfile) -> OverridableQoS:
    """Keyword arguments that let the user change a profile by the parameters `qos_overrides.<topic>...`."""
    # A copy: rclpy writes the overrides into the profile that it is given.
    return {'qos_profile': copy(profile), 'qos_overriding_options': QoSOverridingOptions.with_default_policies()}
