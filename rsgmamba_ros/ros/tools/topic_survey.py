"""Listen to the image topics for some seconds and print what they are, as JSON: `rsgmamba doctor` runs it.

It runs in a process of its own, so that a ROS installation that ends the process is a finding too.
"""
from __future__ import annotations

from dataclasses import dataclass, field
import json
from statistics import median
import sys
import time
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier, try_shutdown
from sensor_msgs.msg import CompressedImage, Image

from rsgmamba_ros.ros.conversions import nanoseconds
from rsgmamba_ros.ros.foreign_encodings import cv_bridge_problem
from rsgmamba_ros.ros.qos import SENSOR_DATA
from rsgmamba_ros.ros.transport import profile_setting

_KINDS = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}

#: Time in which publishers are discovered.
_DISCOVERY_S = 2.0


@dataclass
class _Topic:
    """What came on one topic."""

    kind: str
    stamps_ns: list[int] = field(default_factory=list)
    lags_s: list[float] = field(default_factory=list)
    first_s: float = 0.0
    last_s: float = 0.0
    newest: Any = None

    def take(self, message: Image | CompressedImage) -> None:
        now_s = time.monotonic()
        self.first_s = self.first_s or now_s
        self.last_s = now_s
        stamp_ns = nanoseconds(message.header.stamp)
        self.stamps_ns.append(stamp_ns)
        self.lags_s.append((time.time_ns() - stamp_ns) * 1e-9)
        self.newest = message

    def summary(self, node: Node, name: str) -> dict[str, object]:
        publishers = node.get_publishers_info_by_topic(name)
        found: dict[str, object] = {
            'type': self.kind, 'publishers': sorted({info.node_name for info in publishers}),
            'reliable': all(info.qos_profile.reliability == ReliabilityPolicy.RELIABLE for info in publishers),
            'images': len(self.stamps_ns), 'rate_hz': _rate(len(self.stamps_ns), self.last_s - self.first_s)}
        if self.newest is None:
            return found
        gaps = sorted(later - earlier for earlier, later in zip(self.stamps_ns, self.stamps_ns[1:]))
        found |= {'frame_id': self.newest.header.frame_id, 'lag_s': median(self.lags_s),
                  'zero_stamps': not any(self.stamps_ns),
                  # The shortest gaps are the sensor's period even where most images are lost on the way.
                  'sensor_rate_hz': 1e9 / gaps[len(gaps) // 10] if gaps and gaps[len(gaps) // 10] > 0 else 0.0}
        if isinstance(self.newest, Image):
            found |= {'encoding': self.newest.encoding, 'height': self.newest.height, 'width': self.newest.width}
        else:
            found['encoding'] = self.newest.format
        return found


def survey(node: Node, executor: SingleThreadedExecutor, *, seconds: float) -> dict[str, object]:
    """Listen to every image topic that has a publisher; a summary by its name."""
    _spin(executor, _DISCOVERY_S)
    topics: dict[str, _Topic] = {}
    for name, kinds in node.get_topic_names_and_types():
        kind = next((kind for kind in kinds if kind in _KINDS), None)
        if kind is None or not node.count_publishers(name):
            continue
        topics[name] = topic = _Topic(kind)
        node.create_subscription(_KINDS[kind], name, topic.take, SENSOR_DATA)
    _spin(executor, seconds)
    return {name: topic.summary(node, name) for name, topic in topics.items()}


def _spin(executor: SingleThreadedExecutor, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left)


def _rate(count: int, seconds: float) -> float:
    return (count - 1) / seconds if count > 1 and seconds > 0 else 0.0


def main(arguments: list[str] | None = None) -> int:
    """Print the survey; the first argument is the number of seconds."""
    seconds = float((arguments or sys.argv[1:])[0])
    rclpy.init(args=[])
    node = rclpy.create_node('rsgmamba_doctor')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        middleware = get_rmw_implementation_identifier()
        print(json.dumps({'middleware': middleware, 'profile': profile_setting(middleware),
                          'cv_bridge': cv_bridge_problem(), 'topics': survey(node, executor, seconds=seconds)}))
    finally:
        executor.shutdown()
        node.destroy_node()
        try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
