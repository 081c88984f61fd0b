"""Subscribe through message_filters where it is installed, else through rclpy; the callback is the same."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription

try:
    from message_filters import Subscriber
except ImportError:  # it has no wheels
    Subscriber = None


def subscribe(node: Node, message_type: type, topic: str, callback: Callable[[Any], None],
              **options: Any) -> Subscription:
    """Subscribe to a topic.

    Args:
        options: of `Node.create_subscription`: `qos_profile`, `event_callbacks`, `qos_overriding_options`, ...

    Returns:
        The rclpy subscription, for `Node.destroy_subscription`.
    """
    if Subscriber is None:
        return node.create_subscription(message_type, topic, callback, **options)
    subscriber = Subscriber(node, message_type, topic, **options)
    subscriber.registerCallback(callback)
    subscription: Subscription = subscriber.sub
    return subscription
