"""Write config/security/policy.xml: what an SROS 2 enclave of `segmentation_node` may do. Run it after a topic changed.

The names come from a running node: it is configured and activated once for each modality, and asked what it has.
"""
from __future__ import annotations

from pathlib import Path
import sys
from xml.etree import ElementTree

from rclpy.node import Node
from rclpy.parameter import Parameter

from rsgmamba_ros.network.shipped import SYNTHETIC
from rsgmamba_ros.ros.segmentation.node import SegmentationNode
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES

PATH = Path(__file__).resolve().parents[1] / 'config' / 'security' / 'policy.xml'

#: Published only where vision_msgs is installed, which has no wheels.
_LABEL_INFO = '/segmentation/label_info'

_COMMENT = ' Written by docs/update_security.py. Names are those of a node without namespace and remappings. '

#: Kind of access, its element, and its permission.
_ACCESS = {('topic', 'publish'), ('topic', 'subscribe'), ('service', 'reply')}


def names(node: Node) -> dict[tuple[str, str], set[str]]:
    """Everything that a node has, by kind and permission."""
    own = (node.get_name(), node.get_namespace())
    listed = {('topic', 'publish'): node.get_publisher_names_and_types_by_node(*own),
              ('topic', 'subscribe'): node.get_subscriber_names_and_types_by_node(*own),
              ('service', 'reply'): node.get_service_names_and_types_by_node(*own)}
    return {access: {name for name, _ in found} for access, found in listed.items()}


def collected() -> dict[tuple[str, str], set[str]]:
    """What the node has with any modality, real and simulated time; rclpy must be initialised."""
    found: dict[tuple[str, str], set[str]] = {access: set() for access in _ACCESS}
    for modality in AUXILIARY_MODALITIES:
        values = {'modality': str(modality), 'checkpoint': SYNTHETIC[modality], 'device': 'cpu', 'use_sim_time': True}
        node = SegmentationNode(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()])
        try:
            node.trigger_configure()
            node.trigger_activate()
            for access, own in names(node).items():
                found[access] |= own
        finally:
            node.close()
            node.destroy_node()
    found['topic', 'publish'].add(_LABEL_INFO)
    return found


def policy(found: dict[tuple[str, str], set[str]]) -> str:
    """The policy file, in the form that `ros2 security create_permission` reads."""
    root = ElementTree.Element('policy', version='0.2.0')
    root.append(ElementTree.Comment(_COMMENT))
    enclave = ElementTree.SubElement(ElementTree.SubElement(root, 'enclaves'), 'enclave', path='/segmentation')
    profile = ElementTree.SubElement(ElementTree.SubElement(enclave, 'profiles'), 'profile', ns='/',
                                     node='segmentation')
    for kind, permission in sorted(found):
        group = ElementTree.SubElement(profile, f'{kind}s', {permission: 'ALLOW'})
        for name in sorted(found[kind, permission]):
            ElementTree.SubElement(group, kind).text = name
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding='unicode') + '\n'


def main() -> None:
    """Write the file."""
    import rclpy

    rclpy.init()
    try:
        PATH.write_text(policy(collected()), encoding='utf-8')
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    sys.exit(main())
