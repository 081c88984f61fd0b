"""A pair of cameras in a synthetic room, with ground truth and with faults that come and go by a script.

    ros2 run rsgmamba_ros synthetic_sensors_node --ros-args -p faults:="depth:missing@5-8 rgb:darkness:5@10-13"

Publishes rgb/image, rgb/camera_info, <modality>/image, <modality>/camera_info and ground_truth (mono8, stamped with the
time of capture). The faults are those of `evaluation.fault_injection`, in seconds after the first image.
"""
from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import replace
import os
import sys
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image

from rsgmamba_ros.data.messages.images import LABELS
from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.evaluation.fault_injection import FaultInjector, parse_faults
from rsgmamba_ros.ros.conversions import message_from_image
from rsgmamba_ros.ros.qos import overridable, RELIABLE
from rsgmamba_ros.ros.stopping import NO_SIGNAL_HANDLERS, StopFlag
from rsgmamba_ros.ros.transport import use_shipped_profile
from rsgmamba_ros.vocabulary.errors import ConfigError, RSGMambaError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality, StampedImage

#: How long before it is due an image may be made.
_AHEAD_NS = 2_000_000_000

#: The cameras are registered to each other: one frame.
FRAME_ID = 'camera_optical_frame'

#: Parameters with their defaults and descriptions.
PARAMETERS = {
    'modality': ('depth', 'what is published beside RGB: depth or thermal'),
    'rate_hz': (10.0, 'images of each camera per second'),
    'height': (240, 'of the images, pixels'),
    'width': (320, 'of the images, pixels'),
    'seed': (0, 'which room, and the seed of the faults'),
    'faults': ('', 'modality:kind[:value]@start-[end] ..., in seconds after the first image'),
    'duration_s': (0.0, 'end after this time; 0 for never, seconds'),
    'wait_for_subscribers': (0, 'subscribers of rgb/image to wait for before the first image'),
}


class SyntheticSensors(Node):
    """Renders ahead, and publishes each image when it is due.

    Raises:
        ConfigError: a parameter cannot be used.
    """

    def __init__(self, **options: Any):
        super().__init__('synthetic_sensors', **options)
        for name, (default, description) in PARAMETERS.items():
            self.declare_parameter(name, default, ParameterDescriptor(description=description))
        values = {name: self.get_parameter(name).value for name in PARAMETERS}
        self._modality = _auxiliary(values['modality'])
        self._faults = parse_faults(values['faults'])
        _check(values)
        self._seed, self._wait_for = values['seed'], values['wait_for_subscribers']
        self._period_ns = round(1e9 / values['rate_hz'])
        self._duration_ns = round(1e9 * values['duration_s'])
        self._generator = SceneGenerator(values['seed'], height=values['height'], width=values['width'],
                                         auxiliary=self._modality)
        topics = {Modality.RGB: 'rgb/image', self._modality: f'{self._modality}/image', LABELS: 'ground_truth'}
        self._images = {kind: self._publisher(Image, topic) for kind, topic in topics.items()}
        self._infos = {modality: self._publisher(CameraInfo, f'{modality}/camera_info')
                       for modality in (Modality.RGB, self._modality)}
        self._info = self._camera_info(values['height'], values['width'])
        self.published: Counter[str] = Counter()

    def _publisher(self, message_type: type, topic: str) -> Publisher:
        # Reliable, so that a recorder may ask for every image; a best-effort subscriber matches too.
        return self.create_publisher(message_type, topic, **overridable(RELIABLE))

    def run(self, executor: SingleThreadedExecutor, stop: StopFlag) -> None:
        """Publish until the script is over or the process is told to stop."""
        self._generator.render()  # the first image of a process takes longer than the others
        while not stop and self._images[Modality.RGB].get_subscription_count() < self._wait_for:
            executor.spin_once(timeout_sec=0.05)
        start_ns = self._now_ns() + _AHEAD_NS // 2
        self.get_logger().info(f'first image at {start_ns} ns')
        injector = FaultInjector(self._faults, self._seed, start_ns)
        for image in self._ahead(injector.apply(self._capture(start_ns))):
            while not stop and (wait_ns := image.received_ns - self._now_ns()) > 0:
                executor.spin_once(timeout_sec=min(wait_ns * 1e-9, 0.1))
            if stop:
                return
            self._publish(image)
        self.get_logger().info(f'done, published {dict(self.published)}')

    def _ahead(self, images: Iterator[StampedImage]) -> Iterator[StampedImage]:
        """The same images, made before they are due, so that those of a busy machine are still in time.

        Another one is made only while there is time for it before the next is due.
        """
        ready: deque[StampedImage] = deque()
        slowest_ns = 0
        while True:
            begin_ns = self._now_ns()
            is_idle = not ready or (ready[0].received_ns - begin_ns > slowest_ns
                                    and ready[-1].received_ns - begin_ns < _AHEAD_NS)
            if not is_idle:
                yield ready.popleft()
                continue
            image = next(images, None)
            if image is None:
                yield from ready
                return
            ready.append(image)
            slowest_ns = max(self._now_ns() - begin_ns, round(0.99 * slowest_ns))

    def _capture(self, start_ns: int) -> Iterator[StampedImage]:
        """All images as good sensors would deliver them; a moment for which the machine was too slow is left out."""
        tick = -1
        while True:
            tick = max(tick + 1, (self._now_ns() - start_ns) // self._period_ns)
            since_ns = tick * self._period_ns
            if self._duration_ns and since_ns >= self._duration_ns:
                return
            scene = self._generator.render(since_ns * 1e-9)
            stamp_ns = start_ns + since_ns
            image = StampedImage(Modality.RGB, stamp_ns, stamp_ns, scene.rgb, 'rgb8', FRAME_ID)
            yield image
            yield replace(image, modality=self._modality, pixels=scene.encoded_auxiliary,
                          encoding=scene.auxiliary_encoding)
            yield replace(image, modality=LABELS, pixels=scene.label_map, encoding='mono8')

    def _publish(self, image: StampedImage) -> None:
        message = message_from_image(image)
        self._images[image.modality].publish(message)
        if image.modality in self._infos:
            self._info.header = message.header
            self._infos[image.modality].publish(self._info)
        self.published[str(image.modality)] += 1

    def _camera_info(self, height: int, width: int) -> CameraInfo:
        matrix = self._generator.camera_matrix
        projection = [*matrix[0], 0.0, *matrix[1], 0.0, *matrix[2], 0.0]
        return CameraInfo(height=height, width=width, distortion_model='plumb_bob', d=[0.0] * 5,
                          k=[float(v) for v in matrix.ravel()], r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
                          p=[float(v) for v in projection])

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def _auxiliary(name: str) -> Modality:
    known = [str(modality) for modality in AUXILIARY_MODALITIES]
    if name not in known:
        raise ConfigError(f'modality is {name!r}; expected one of {known}')
    return Modality(name)


def _check(values: dict[str, Any]) -> None:
    if not 0 < values['rate_hz'] <= 1000:
        raise ConfigError(f"rate_hz is {values['rate_hz']}; it must lie in (0, 1000]")
    if min(values['height'], values['width']) < 16:
        raise ConfigError(f"images are {values['height']}x{values['width']}; at least 16x16 is needed")
    if values['seed'] < 0 or values['duration_s'] < 0:
        raise ConfigError(f"seed is {values['seed']}, duration_s {values['duration_s']}; neither may be negative")


def main(arguments: list[str] | None = None) -> int:
    """Run the sensors until the script is over or they are told to stop; the exit status."""
    use_shipped_profile(os.environ)
    rclpy.init(args=arguments, **NO_SIGNAL_HANDLERS)
    executor, node, stop = SingleThreadedExecutor(), None, StopFlag()
    try:
        node = SyntheticSensors()
        executor.add_node(node)
        node.run(executor, stop)
    except RSGMambaError as error:
        print(f'synthetic_sensors_node: {error}', file=sys.stderr)
        return 1
    finally:
        executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
