"""The node's inputs: one image topic for each modality, raw or compressed."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind, QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from rsgmamba_ros.ros.qos import (
    INPUT_QOS,
    is_overridden,
    overridable,
    RELIABLE_CAMERA,
    SENSOR_DATA,
    SubscriptionEventCallbacks,
    UnsupportedEventTypeError,
)
from rsgmamba_ros.ros.segmentation.filters import subscribe
from rsgmamba_ros.ros.segmentation.graph import offers_reliable, silence_reason, type_problem
from rsgmamba_ros.vocabulary.images import Modality

MESSAGE_TYPES: dict[str, type] = {'raw': Image, 'compressed': CompressedImage}
_TYPE_NAMES: dict[type, str] = {Image: 'sensor_msgs/msg/Image', CompressedImage: 'sensor_msgs/msg/CompressedImage'}

#: Images that an old subscription may bring while the new one that replaces it has them too.
_OVERLAP = 100


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


class InputSubscription:
    """A subscription to `<modality>/image` whose QoS follows the publishers if `input_qos` is `auto`.

    Args:
        transport: see `message_type`.
        input_qos: a name in `INPUT_QOS`, or `auto`.

    Note (auto): a best-effort subscription matches every publisher, but stock Fast DDS loses most large images over
    it. So it is replaced by a reliable one once all publishers are found to be reliable, and back when one is not.
    The old one goes when the new one has brought an image, and what both have brought counts once.
    """

    def __init__(self, node: Node, modality: Modality, *, transport: str, input_qos: str, listener: InputListener):
        self._node = node
        self._modality = modality
        self._listener = listener
        self.topic = node.resolve_topic_name(f'{modality}/image')
        self._type = message_type(self.topic, transport)
        self._is_auto = input_qos == 'auto' and not is_overridden(node, self.topic)
        self._is_reliable = self._is_auto and bool(offers_reliable(node, self.topic))
        self._profile = INPUT_QOS.get(input_qos) or (RELIABLE_CAMERA if self._is_reliable else SENSOR_DATA)
        self._old: Subscription | None = None
        self._delivered: deque[tuple[int, int]] = deque(maxlen=_OVERLAP)
        self._generation = 0
        self._subscription = self._subscribe(self._profile)

    def follow_publishers(self) -> None:
        """Change the reliability if the publishers that there are now ask for it; does nothing unless `auto`."""
        reliable = offers_reliable(self._node, self.topic) if self._is_auto else None
        if reliable is None or reliable == self._is_reliable:
            return
        self._end_old()
        self._is_reliable = reliable
        self._generation += 1
        self._old, self._subscription = self._subscription, self._subscribe(
            RELIABLE_CAMERA if reliable else SENSOR_DATA)
        self._node.get_logger().info(f'{self.topic}: asks for {"reliable" if reliable else "best effort"} delivery, as '
                                     'its publishers offer')

    def silence_reason(self) -> str:
        """Why nothing may have come yet from publishers of the right type, for people."""
        return silence_reason(self._node, self.topic)

    def type_problem(self) -> str:
        """Say that the topic has another type, and what to do; empty if it has not."""
        return type_problem(self._node, self.topic, _TYPE_NAMES[self._type], self._modality)

    def destroy(self) -> None:
        """Destroy the subscription."""
        self._end_old()
        self._node.destroy_subscription(self._subscription)

    def _end_old(self) -> None:
        if self._old is not None:
            self._node.destroy_subscription(self._old)
            self._old = None

    def _subscribe(self, profile: QoSProfile) -> Subscription:
        options = overridable(profile, but_reliability=self._is_auto)
        arguments = (self._node, self._type, self.topic, partial(self._on_message, self._generation))
        try:
            events = SubscriptionEventCallbacks(incompatible_qos=self._on_mismatch, message_lost=self._on_lost)
            return subscribe(*arguments, event_callbacks=events, **options)
        except UnsupportedEventTypeError:  # not every middleware reports lost messages
            events = SubscriptionEventCallbacks(incompatible_qos=self._on_mismatch)
            return subscribe(*arguments, event_callbacks=events, **options)

    def _on_message(self, generation: int, message: Image | CompressedImage) -> None:
        if generation != self._generation and self._old is None:
            return  # it was taken before its subscription was destroyed
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        if generation == self._generation:
            self._end_old()
            if stamp in self._delivered:
                return  # the old subscription has brought it already
            self._delivered.clear()
        elif any(stamp):
            self._delivered.append(stamp)
        self._listener.on_message(self._modality, message)

    def _on_mismatch(self, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        if self._is_auto and policy == 'RELIABILITY':
            self.follow_publishers()
            return
        self._listener.on_mismatch(self._modality, f'{self.topic}: a publisher offers incompatible QoS ({policy}), '
                                   'nothing arrives from it; set input_qos to auto, or change the publisher')

    def _on_lost(self, event: Any) -> None:
        self._listener.on_lost(self._modality, event.total_count_change)
