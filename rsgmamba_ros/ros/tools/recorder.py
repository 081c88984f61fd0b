"""Records the inputs and outputs of the segmentation node into an MCAP bag, without an installed rosbag2.

    python -m rsgmamba_ros.ros.tools.recorder --ros-args -p bag:=out/run -p modality:=depth

Messages go into the bag as they came over the wire, stamped with the time of arrival. Only the overlay, for the eyes
alone, is stored as JPEG. Any signal that ends the process ends the bag properly.
"""
from __future__ import annotations

import os
import sys
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.msg import Reliability
from rsgmamba_ros.ros.conversions import image_from_message, nanoseconds
from rsgmamba_ros.ros.qos import INPUT_QOS, RESULT
from rsgmamba_ros.ros.stopping import NO_SIGNAL_HANDLERS, StopFlag
from rsgmamba_ros.ros.transport import use_shipped_profile
from rsgmamba_ros.vocabulary.errors import RSGMambaError
from rsgmamba_ros.vocabulary.images import Modality

#: What is recorded as it comes, `{modality}` being depth or thermal; inputs have the sensors' QoS.
INPUTS = {'rgb/image': Image, 'rgb/camera_info': CameraInfo, '{modality}/image': Image,
          '{modality}/camera_info': CameraInfo, 'ground_truth': Image}
OUTPUTS = {'segmentation': Image, 'segmentation/confidence': Image, 'segmentation/reliability': Reliability,
           '/diagnostics': DiagnosticArray}
OVERLAY = 'segmentation/overlay'

_JPEG_QUALITY = 85


class Recorder(Node):
    """Subscribes to everything and writes it down.

    Raises:
        BagError: the bag exists already, or cannot be made.
    """

    def __init__(self, **options: Any):
        super().__init__('recorder', **options)
        bag = self.declare_parameter('bag', 'recording').value
        modality = self.declare_parameter('modality', 'depth').value
        sensors = INPUT_QOS[self.declare_parameter('input_qos', 'reliable').value]
        self._bag = BagWriter(bag, compression='storage')
        for topic, message_type in INPUTS.items():
            self._record(topic.format(modality=modality), message_type, sensors)
        for topic, message_type in OUTPUTS.items():
            self._record(topic, message_type, RESULT)
        self.create_subscription(Image, OVERLAY, self._on_overlay, RESULT)
        self.get_logger().info(f'recording into {bag}')

    def close(self) -> None:
        """End the bag."""
        self._bag.close()

    def _record(self, topic: str, message_type: type, profile: QoSProfile) -> None:
        topic = self.resolve_topic_name(topic)
        full_name = f"{message_type.__module__.partition('.')[0]}/msg/{message_type.__name__}"
        self._bag.add_topic(topic, full_name)

        def write(data: bytes) -> None:
            self._bag.write_serialised(topic, full_name, data, received_ns=self._now_ns())

        self.create_subscription(message_type, topic, write, profile, raw=True)

    def _on_overlay(self, message: Image) -> None:
        image = image_from_message(message, Modality.RGB, received_ns=self._now_ns())
        _, jpeg = cv2.imencode('.jpg', cv2.cvtColor(image.pixels, cv2.COLOR_RGB2BGR),
                               [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        self._bag.write_compressed_image(
            self.resolve_topic_name(f'{OVERLAY}/compressed'), jpeg.tobytes(), format='jpeg',
            stamp_ns=nanoseconds(message.header.stamp), received_ns=image.received_ns, frame_id=image.frame_id)

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def main(arguments: list[str] | None = None) -> int:
    """Record until told to stop; the exit status."""
    use_shipped_profile(os.environ)
    rclpy.init(args=arguments, **NO_SIGNAL_HANDLERS)
    executor, node, stop = SingleThreadedExecutor(), None, StopFlag()
    try:
        node = Recorder()
        executor.add_node(node)
        while not stop:
            executor.spin_once(timeout_sec=0.1)
    except RSGMambaError as error:
        print(f'recorder_node: {error}', file=sys.stderr)
        return 1
    finally:
        executor.shutdown()
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
