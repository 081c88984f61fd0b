"""Plays the images of a bag over DDS, with its time on /clock, where `ros2 bag` is not installed.

    ros2 run rsgmamba_ros bag_player_node --ros-args -p bag:=recording -p rate:=0.5 -p loop:=true

Messages go out as they were recorded, on their recorded topics (remap them as usual); ROS 1 messages are converted.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
import os
from pathlib import Path
import sys
import time

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.messages.serialised_images import COMPRESSED_IMAGE_TYPE, IMAGE_TYPE
from rsgmamba_ros.ros.conversions import stamp_message
from rsgmamba_ros.ros.qos import overridable, RELIABLE
from rsgmamba_ros.ros.running import run_node, StopFlag
from rsgmamba_ros.ros.tools.parameters import parameter, read_parameters, string_list
from rsgmamba_ros.ros.transport import use_shipped_profile
from rsgmamba_ros.vocabulary.errors import BagError, ConfigError

_MESSAGE_TYPES = {IMAGE_TYPE: Image, COMPRESSED_IMAGE_TYPE: CompressedImage}


@dataclass(frozen=True)
class PlayerParameters:
    """The player's parameters.

    Raises:
        ConfigError: a parameter cannot be used.
    """

    bag: str = parameter('', 'folder or file of the bag')
    topics: tuple[str, ...] = string_list('image topics to play; empty for all')
    rate: float = parameter(1.0, 'bag seconds per second')
    start_offset_s: float = parameter(0.0, 'start this long after the start of the bag, seconds')
    loop: bool = parameter(False, 'start again at the end; the clock then goes back')
    clock: bool = parameter(True, "publish the bag's time on /clock")
    clock_period_s: float = parameter(0.01, 'time between two messages on /clock where no image is due, seconds')
    linger_s: float = parameter(2.0, 'keep the clock running this long after the last image, bag seconds')
    wait_for_subscribers: int = parameter(0, 'subscribers of every topic to wait for before the first image')
    wait_for_clock_subscribers: int = parameter(0, 'subscribers of /clock to wait for before the first image')

    def __post_init__(self) -> None:
        if not self.bag:
            raise ConfigError('the parameter bag is empty; name a bag')
        if not self.rate > 0 or not self.clock_period_s > 0:
            raise ConfigError(f'rate is {self.rate}, clock_period_s {self.clock_period_s}; both must be positive')
        if self.start_offset_s < 0 or self.linger_s < 0:
            raise ConfigError(f'start_offset_s is {self.start_offset_s}, linger_s {self.linger_s}; neither may be '
                              'negative')


class BagPlayer(Node):
    """Publishes each message when it is due.

    Attributes:
        published: messages by topic.

    Raises:
        RSGMambaError: the bag or a parameter cannot be used.
    """

    def __init__(self) -> None:
        super().__init__('bag_player')
        self._settings = settings = read_parameters(self, PlayerParameters)
        self.bag = BagReader(Path(settings.bag))
        named = [topic for topic in settings.topics if topic]
        for topic in named:
            self.bag.check_topic(topic)
        types = {topic.name: topic.message_type for topic in self.bag.image_topics}
        videos = [topic for topic in named or types if types[topic] not in _MESSAGE_TYPES]
        if named and videos:
            raise BagError(f'topics {videos} carry video, which is not played; an offline replay reads it')
        if videos:
            self.get_logger().warning(f'topics {videos} carry video, which is not played; an offline replay reads it')
            types = {topic: kind for topic, kind in types.items() if kind in _MESSAGE_TYPES}
        self._images = {topic: self.create_publisher(_MESSAGE_TYPES[types[topic]], topic, **overridable(RELIABLE))
                        for topic in named or types}
        self._clock_publisher = self.create_publisher(Clock, '/clock', 10) if settings.clock else None
        self.published: Counter[str] = Counter()

    def run(self, executor: SingleThreadedExecutor) -> None:
        """Play until the end, or for ever in a loop, or until the process is told to stop."""
        stop = StopFlag()
        self._wait_for_subscribers(executor, stop)
        self.get_logger().info('playing')
        self._play_once(executor, stop)
        while self._settings.loop and not stop:
            self._play_once(executor, stop)
        self.get_logger().info(f'done, published {dict(self.published)}')

    def close(self) -> None:
        """Close the bag."""
        self.bag.__exit__()

    def _play_once(self, executor: SingleThreadedExecutor, stop: StopFlag) -> None:
        first_ns = self.bag.start_ns + round(self._settings.start_offset_s * 1e9)
        timing = _Timing(first_ns, time.monotonic_ns(), self._settings.rate)
        self._tick(first_ns)
        for topic, _, received_ns, raw in self.bag.serialised(set(self._images)):
            if received_ns < first_ns:
                continue
            self._pass_time(executor, stop, timing, received_ns)
            if stop:
                return
            self._tick(received_ns)
            self._images[topic].publish(raw)
            self.published[topic] += 1
        self._pass_time(executor, stop, timing, self.bag.end_ns + round(self._settings.linger_s * 1e9))

    def _pass_time(self, executor: SingleThreadedExecutor, stop: StopFlag, timing: _Timing, until_ns: int) -> None:
        """Let the clock run up to a bag time."""
        period_s = self._settings.clock_period_s
        while not stop and (left_s := timing.seconds_until(until_ns)) > 0:
            executor.spin_once(timeout_sec=min(left_s, period_s))
            self._tick(min(timing.bag_time_ns(), until_ns))

    def _tick(self, time_ns: int) -> None:
        if self._clock_publisher is not None:
            self._clock_publisher.publish(Clock(clock=stamp_message(time_ns)))

    def _wait_for_subscribers(self, executor: SingleThreadedExecutor, stop: StopFlag) -> None:
        wanted = [(publisher, self._settings.wait_for_subscribers) for publisher in self._images.values()]
        if self._clock_publisher is not None:
            wanted.append((self._clock_publisher, self._settings.wait_for_clock_subscribers))
        while not stop and any(publisher.get_subscription_count() < count for publisher, count in wanted):
            executor.spin_once(timeout_sec=0.05)
            self._tick(self.bag.start_ns)  # a node that waits for the clock would otherwise not come up


class _Timing:
    """Bag time against this machine's steady clock."""

    def __init__(self, bag_start_ns: int, steady_start_ns: int, rate: float):
        self._bag_start_ns = bag_start_ns
        self._steady_start_ns = steady_start_ns
        self._rate = rate

    def bag_time_ns(self) -> int:
        """Bag time now."""
        return self._bag_start_ns + round((time.monotonic_ns() - self._steady_start_ns) * self._rate)

    def seconds_until(self, bag_time_ns: int) -> float:
        """How long to wait for a bag time; 0 or less once it has passed."""
        return (bag_time_ns - self.bag_time_ns()) / self._rate * 1e-9


def main(arguments: list[str] | None = None) -> int:
    """Play a bag; the exit status."""
    use_shipped_profile(os.environ)
    return run_node('bag_player_node', BagPlayer, BagPlayer.run, close=BagPlayer.close, arguments=arguments)


if __name__ == '__main__':
    sys.exit(main())
