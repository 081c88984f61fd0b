"""Records the inputs and outputs of the segmentation node into an MCAP bag, without an installed rosbag2.

    python -m rsgmamba_ros.ros.tools.recorder --ros-args -p bag:=out/run -p modality:=depth

Messages are stored as they arrive, with the time of arrival. Only the overlay, which nobody computes with, is stored
as JPEG. SIGINT and SIGTERM close the bag properly.
"""
from __future__ import annotations

from dataclasses import dataclass
import os
import sys

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.msg import Reliability
from rsgmamba_ros.ros.conversions import image_from_message, nanoseconds
from rsgmamba_ros.ros.qos import INPUT_QOS, RESULT
from rsgmamba_ros.ros.running import run_node, spin, StopFlag
from rsgmamba_ros.ros.tools.parameters import parameter, read_parameters
from rsgmamba_ros.ros.transport import use_shipped_profile
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

#: Topics that are recorded unchanged, `{modality}` being depth or thermal; the QoS of inputs is a parameter.
INPUTS = {'rgb/image': Image, 'rgb/camera_info': CameraInfo, '{modality}/image': Image,
          '{modality}/camera_info': CameraInfo, 'ground_truth': Image}
OUTPUTS = {'segmentation': Image, 'segmentation/confidence': Image, 'segmentation/reliability': Reliability,
           '/diagnostics': DiagnosticArray}
OVERLAY = 'segmentation/overlay'

_JPEG_QUALITY = 85


@dataclass(frozen=True)
class RecorderParameters:
    """The recorder's parameters.

    Raises:
        ConfigError: `input_qos` is unknown.
    """

    bag: str = parameter('recording', 'folder to create')
    modality: str = parameter('depth', 'auxiliary modality beside RGB: depth or thermal')
    input_qos: str = parameter('reliable', 'QoS of the sensor topics: sensor_data or reliable')

    def __post_init__(self) -> None:
        if self.input_qos not in INPUT_QOS:
            raise ConfigError(f'input_qos is {self.input_qos!r}; expected one of {list(INPUT_QOS)}')


class Recorder(Node):
    """Subscribes to all inputs and outputs of the segmentation node and writes them into a bag.

    Raises:
        RSGMambaError: the bag exists already or cannot be made, or a parameter cannot be used.
    """

    def __init__(self) -> None:
        super().__init__('recorder')
        settings = read_parameters(self, RecorderParameters)
        self._bag = BagWriter(settings.bag, compression='storage')
        for topic, message_type in INPUTS.items():
            self._record(topic.format(modality=settings.modality), message_type, INPUT_QOS[settings.input_qos])
        for topic, message_type in OUTPUTS.items():
            self._record(topic, message_type, RESULT)
        self.create_subscription(Image, OVERLAY, self._on_overlay, RESULT)
        self.get_logger().info(f'recording into {settings.bag}')

    def run(self, executor: SingleThreadedExecutor) -> None:
        """Record until the process is told to stop."""
        spin(executor, StopFlag())

    def close(self) -> None:
        """Close the bag."""
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
    return run_node('recorder_node', Recorder, Recorder.run, close=Recorder.close, arguments=arguments)


if __name__ == '__main__':
    sys.exit(main())
