"""A pair of cameras in a synthetic room, with ground truth and with faults that come and go by a script.

    ros2 run rsgmamba_ros synthetic_sensors_node --ros-args -p faults:="depth:missing@5-8 rgb:darkness:5@10-13"

Publishes rgb/image, rgb/camera_info, <modality>/image, <modality>/camera_info and ground_truth (mono8, stamped with the
time of capture). The faults are those of `evaluation.fault_injection`, in seconds after the first image.
"""
from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
import os
import sys

import numpy as np
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image

from rsgmamba_ros.data.messages.images import LABELS
from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.evaluation.fault_injection import FaultInjector, parse_faults
from rsgmamba_ros.ros.conversions import image_message, message_from_image
from rsgmamba_ros.ros.qos import overridable, RELIABLE
from rsgmamba_ros.ros.running import run_node, StopFlag
from rsgmamba_ros.ros.tools.parameters import parameter, read_parameters
from rsgmamba_ros.ros.transport import use_shipped_profile
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality, StampedImage

#: How long before it is due an image may be made.
_AHEAD_NS = 2_000_000_000

#: The cameras are registered to each other: one frame.
FRAME_ID = 'camera_optical_frame'


@dataclass(frozen=True)
class SensorParameters:
    """The parameters of the synthetic sensors.

    Raises:
        ConfigError: a parameter cannot be used.
    """

    modality: str = parameter('depth', 'auxiliary modality beside RGB: depth or thermal')
    rate_hz: float = parameter(10.0, 'images of each camera per second')
    height: int = parameter(240, 'height of the images, pixels')
    width: int = parameter(320, 'width of the images, pixels')
    seed: int = parameter(0, 'which room, and the seed of the faults')
    faults: str = parameter('', 'modality:kind[:value]@start-[end] ..., in seconds after the first image')
    duration_s: float = parameter(0.0, 'end after this time; 0 for never, seconds')
    wait_for_subscribers: int = parameter(0, 'subscribers of rgb/image to wait for before the first image')

    def __post_init__(self) -> None:
        auxiliary = [str(modality) for modality in AUXILIARY_MODALITIES]
        if self.modality not in auxiliary:
            raise ConfigError(f'modality is {self.modality!r}; expected one of {auxiliary}')
        if not 0 < self.rate_hz <= 1000:
            raise ConfigError(f'rate_hz is {self.rate_hz}; it must lie in (0, 1000]')
        if min(self.height, self.width) < 16:
            raise ConfigError(f'images are {self.height}x{self.width}; at least 16x16 is needed')
        if self.seed < 0 or self.duration_s < 0:
            raise ConfigError(f'seed is {self.seed}, duration_s {self.duration_s}; neither may be negative')


@dataclass(frozen=True, eq=False)
class _GroundTruth:
    """The label map of one moment, (H, W) uint8, with its stamp, which is the time of arrival too, nanoseconds."""

    received_ns: int
    label_map: np.ndarray


_Arrival = StampedImage | _GroundTruth


class SyntheticSensors(Node):
    """Renders ahead, and publishes each image when it is due.

    Raises:
        ConfigError: a parameter cannot be used.
    """

    def __init__(self) -> None:
        super().__init__('synthetic_sensors')
        self._settings = settings = read_parameters(self, SensorParameters)
        self._modality = Modality(settings.modality)
        self._faults = parse_faults(settings.faults)
        self._period_ns = round(1e9 / settings.rate_hz)
        self._duration_ns = round(1e9 * settings.duration_s)
        self._generator = SceneGenerator(settings.seed, height=settings.height, width=settings.width,
                                         auxiliary=self._modality)
        modalities = (Modality.RGB, self._modality)
        self._images = {modality: self._publisher(Image, f'{modality}/image') for modality in modalities}
        self._infos = {modality: self._publisher(CameraInfo, f'{modality}/camera_info') for modality in modalities}
        self._truth = self._publisher(Image, 'ground_truth')
        self._info = self._camera_info(settings.height, settings.width)
        self.published: Counter[str] = Counter()

    def _publisher(self, message_type: type, topic: str) -> Publisher:
        # Reliable, so that a recorder may ask for every image; a best-effort subscriber matches too.
        return self.create_publisher(message_type, topic, **overridable(RELIABLE))

    def run(self, executor: SingleThreadedExecutor) -> None:
        """Publish until the script is over or the process is told to stop."""
        stop = StopFlag()
        self._generator.render()  # the first image of a process takes longer than the others
        subscribers = self._images[Modality.RGB].get_subscription_count
        while not stop and subscribers() < self._settings.wait_for_subscribers:
            executor.spin_once(timeout_sec=0.05)
        start_ns = self._now_ns() + _AHEAD_NS // 2
        self.get_logger().info(f'first image at {start_ns} ns')
        injector = FaultInjector(self._faults, self._settings.seed, start_ns)
        for arrival in self._ahead(injector.apply(self._capture(start_ns))):
            while not stop and (wait_ns := arrival.received_ns - self._now_ns()) > 0:
                executor.spin_once(timeout_sec=min(wait_ns * 1e-9, 0.1))
            if stop:
                return
            self._publish(arrival)
        self.get_logger().info(f'done, published {dict(self.published)}')

    def _ahead(self, arrivals: Iterator[_Arrival]) -> Iterator[_Arrival]:
        """The same images, made before they are due, so that they are in time on a busy machine too.

        Another one is made only while there is time for it before the next is due.
        """
        ready: deque[_Arrival] = deque()
        slowest_ns = 0
        while True:
            begin_ns = self._now_ns()
            is_idle = not ready or (ready[0].received_ns - begin_ns > slowest_ns
                                    and ready[-1].received_ns - begin_ns < _AHEAD_NS)
            if not is_idle:
                yield ready.popleft()
                continue
            arrival = next(arrivals, None)
            if arrival is None:
                yield from ready
                return
            ready.append(arrival)
            slowest_ns = max(self._now_ns() - begin_ns, round(0.99 * slowest_ns))

    def _capture(self, start_ns: int) -> Iterator[_Arrival]:
        """Images as good sensors deliver them, and ground truth; a moment for which there is no time is left out."""
        tick = -1
        while True:
            tick = max(tick + 1, (self._now_ns() - start_ns) // self._period_ns)
            since_ns = tick * self._period_ns
            if self._duration_ns and since_ns >= self._duration_ns:
                return
            scene = self._generator.render(since_ns * 1e-9)
            stamp_ns = start_ns + since_ns
            yield StampedImage(Modality.RGB, stamp_ns, stamp_ns, scene.rgb, 'rgb8', FRAME_ID)
            yield StampedImage(self._modality, stamp_ns, stamp_ns, scene.encoded_auxiliary, scene.auxiliary_encoding,
                               FRAME_ID)
            yield _GroundTruth(stamp_ns, scene.label_map)

    def _publish(self, arrival: _Arrival) -> None:
        if isinstance(arrival, _GroundTruth):
            self._truth.publish(image_message(arrival.label_map, 'mono8', stamp_ns=arrival.received_ns,
                                              frame_id=FRAME_ID))
            self.published[LABELS] += 1
            return
        message = message_from_image(arrival)
        self._images[arrival.modality].publish(message)
        self._info.header = message.header
        self._infos[arrival.modality].publish(self._info)
        self.published[str(arrival.modality)] += 1

    def _camera_info(self, height: int, width: int) -> CameraInfo:
        matrix = self._generator.camera_matrix
        projection = [*matrix[0], 0.0, *matrix[1], 0.0, *matrix[2], 0.0]
        return CameraInfo(height=height, width=width, distortion_model='plumb_bob', d=[0.0] * 5,
                          k=[float(v) for v in matrix.ravel()], r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
                          p=[float(v) for v in projection])

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def main(arguments: list[str] | None = None) -> int:
    """Run the sensors until the script is over or they are told to stop; the exit status."""
    use_shipped_profile(os.environ)
    return run_node('synthetic_sensors_node', SyntheticSensors, SyntheticSensors.run, close=lambda sensors: None,
                    arguments=arguments)


if __name__ == '__main__':
    sys.exit(main())
