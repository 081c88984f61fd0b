"""The node's inputs: one image topic for each modality, raw or compressed."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind, QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from rsgmamba_ros.ros.qos import overridable, SubscriptionEventCallbacks, UnsupportedEventTypeError
from rsgmamba_ros.ros.segmentation.filters import subscribe
from rsgmamba_ros.vocabulary.images import Modality

MESSAGE_TYPES: dict[str, type] = {'raw': Image, 'compressed': CompressedImage}


@dataclass(frozen=True)
class InputListener:
    """Callbacks for what arrives on a topic, and for what cannot arrive.

    Attributes:
        on_message: modality and message.
        on_mismatch: modality and a message for the user: there is a publisher, but its QoS is incompatible.
        on_lost: modality and the number of messages that the middleware lost.
    """

    on_message: Callable[[Modality, Image | CompressedImage], None]
    on_mismatch: Callable[[Modality, str], None]
    on_lost: Callable[[Modality, int], None]


def message_type(topic: str, transport: str) -> type:
    """Choose the type to subscribe to.

    Args:
        transport: `raw`, `compressed`, or `auto`: by image_transport's names of topics.
    """
    if transport == 'auto':
        transport = 'compressed' if topic.endswith(('/compressed', '/compressedDepth')) else 'raw'
    return MESSAGE_TYPES[transport]


def wrong_type(node: Node, modality: Modality, transport: str) -> str:
    """What to do if publishers of `<modality>/image` send another type than is subscribed to; empty if none does."""
    topic = node.resolve_topic_name(f'{modality}/image')
    sent = {info.topic_type for info in node.get_publishers_info_by_topic(topic)}
    names = {kind: f'sensor_msgs/msg/{message.__name__}' for kind, message in MESSAGE_TYPES.items()}
    wanted = f'sensor_msgs/msg/{message_type(topic, transport).__name__}'
    if not sent or wanted in sent:
        return ''
    parameter = f'{"rgb" if modality is Modality.RGB else "auxiliary"}.transport'
    remedy = next((f'set {parameter} to {kind}' for kind, name in names.items() if name in sent),
                  f'remap {modality}/image to a topic of images')
    return f'{topic} carries {", ".join(sorted(sent))} and not {wanted}: {remedy}'


def subscribe_to_images(node: Node, modality: Modality, *, transport: str, profile: QoSProfile,
                        listener: InputListener) -> Subscription:
    """Subscribe to `<modality>/image`; the subscription, for `Node.destroy_subscription`."""
    topic = node.resolve_topic_name(f'{modality}/image')

    def on_mismatch(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        listener.on_mismatch(modality, f'{topic}: a publisher offers incompatible QoS ({policy}), nothing arrives from '
                                       'it; set input_qos to sensor_data, or change the publisher')

    def on_lost(event: Any) -> None:
        listener.on_lost(modality, event.total_count_change)

    options = overridable(profile)
    arguments = (node, message_type(topic, transport), topic, lambda message: listener.on_message(modality, message))
    try:
        events = SubscriptionEventCallbacks(incompatible_qos=on_mismatch, message_lost=on_lost)
        return subscribe(*arguments, event_callbacks=events, **options)
    except UnsupportedEventTypeError:  # not every middleware reports lost messages
        events = SubscriptionEventCallbacks(incompatible_qos=on_mismatch)
        return subscribe(*arguments, event_callbacks=events, **options)
