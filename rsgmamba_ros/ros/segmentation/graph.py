"""What the ROS graph tells: who publishes on a topic, with which type and QoS, and whether a node has a twin."""
from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

from rsgmamba_ros.vocabulary.images import Modality

#: Values of the parameters that choose the type of an image topic.
_TRANSPORTS = {'sensor_msgs/msg/Image': 'raw', 'sensor_msgs/msg/CompressedImage': 'compressed'}


def type_problem(node: Node, topic: str, wanted: str, modality: Modality) -> str:
    """Say that a topic has another type, and what to do; empty if it has the wanted one, or no publisher.

    Args:
        topic: its resolved name.
        wanted: type that the node subscribes to, for example `sensor_msgs/msg/Image`.
        modality: of the images.
    """
    types = sorted({info.topic_type for info in node.get_publishers_info_by_topic(topic)})
    if not types or wanted in types:
        return ''
    parameter = 'rgb.transport' if modality is Modality.RGB else 'auxiliary.transport'
    remedy = next((f'set {parameter} to {_TRANSPORTS[kind]}' for kind in types if kind in _TRANSPORTS),
                  f'remap {modality}/image to a topic of images')
    return f'{topic} carries {", ".join(types)} and not {wanted}: {remedy}'


def silence_reason(node: Node, topic: str) -> str:
    """Why nothing may have come on a topic of the right type, given its resolved name."""
    if node.count_publishers(topic):
        return f'never received: {topic} has a publisher, but no image came; check its QoS and whether it runs'
    return f'never received: nobody publishes on {topic}; check the name (ros2 topic list)'


def offers_reliable(node: Node, topic: str) -> bool | None:
    """Whether every publisher of a topic is reliable; None if there is no publisher."""
    offers = [info.qos_profile.reliability for info in node.get_publishers_info_by_topic(topic)]
    return all(offer == ReliabilityPolicy.RELIABLE for offer in offers) if offers else None


def twin_problem(node: Node, topic: str) -> str:
    """Say that another node has the same name or publishes on the same output topic; empty if none does.

    Args:
        topic: resolved name of an output that only this node should publish.
    """
    name, own = node.get_fully_qualified_name(), (node.get_name(), node.get_namespace())
    if node.get_node_names_and_namespaces().count(own) > 1:
        return (f'another node is called {name} too, so parameters and services may reach either; give one of them '
                'another namespace or node_name')
    others = sorted({_full_name(info.node_name, info.node_namespace)
                     for info in node.get_publishers_info_by_topic(topic)} - {name})
    if others:
        return (f'{", ".join(others)} publishes on {topic} too, so results are mixed; give one of the nodes another '
                'namespace or other topics')
    return ''


def _full_name(name: str, namespace: str) -> str:
    return f'{namespace.rstrip("/")}/{name}'
