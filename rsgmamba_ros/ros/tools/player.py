"""Plays the images of a bag over DDS, with its time on /clock, where `ros2 bag` is not installed.

    ros2 run rsgmamba_ros bag_player_node --ros-args -p bag:=recording -p rate:=0.5 -p loop:=true

Messages go out as they were recorded, on their recorded topics (remap them as usual); ROS 1 messages are converted.
"""
from __future__ import annotations

from collections import Counter
from importlib import import_module
import os
from pathlib import Path
import sys
import time
from typing import Any

from builtin_interfaces.msg import Time
from rcl_interfaces.msg import ParameterDescriptor
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.ros.qos import overridable, RELIABLE
from rsgmamba_ros.ros.transport import use_shipped_profile
from rsgmamba_ros.vocabulary.errors import ConfigError, RSGMambaError

#: Parameters with their defaults and descriptions.
PARAMETERS = {
    'bag': ('', 'folder or file of the bag'),
    'topics': ([''], 'image topics to play; empty for all'),
    'rate': (1.0, 'bag seconds per second'),
    'start_offset_s': (0.0, 'begin so long after the start of the bag, seconds'),
    'loop': (False, 'begin again at the end; the clock then goes back'),
    'clock': (True, "publish the bag's time on /clock"),
    'clock_period_s': (0.01, 'time between two messages on /clock where no image is due, seconds'),
    'linger_s': (2.0, 'let the clock run on so long after the last image, bag seconds'),
    'wait_for_subscribers': (0, 'subscribers of every topic to wait for before the first image'),
    'wait_for_clock_subscribers': (0, 'subscribers of /clock to wait for before the first image'),
}


class BagPlayer(Node):
    """Publishes each message when it is due.

    Attributes:
        published: messages by topic.

    Raises:
        RSGMambaError: the bag or a parameter cannot be used.
    """

    def __init__(self, **options: Any):
        super().__init__('bag_player', **options)
        for name, (default, description) in PARAMETERS.items():
            self.declare_parameter(name, default, ParameterDescriptor(description=description))
        self._values = {name: self.get_parameter(name).value for name in PARAMETERS}
        _check(self._values)
        self.bag = BagReader(Path(self._values['bag']))
        named = [topic for topic in self._values['topics'] if topic]
        for topic in named:
            self.bag.check_topic(topic)
        types = {topic.name: topic.message_type for topic in self.bag.image_topics}
        self._images = {topic: self.create_publisher(_message_class(types[topic]), topic, **overridable(RELIABLE))
                        for topic in named or types}
        self._clock_publisher = self.create_publisher(Clock, '/clock', 10) if self._values['clock'] else None
        self.published: Counter[str] = Counter()

    def run(self, executor: SingleThreadedExecutor) -> None:
        """Play until the end, or for ever in a loop, or until ROS shuts down."""
        self._wait_for_subscribers(executor)
        self.get_logger().info('playing')
        while rclpy.ok():
            self._play_once(executor)
            if not self._values['loop']:
                break
        self.get_logger().info(f'done, published {dict(self.published)}')

    def close(self) -> None:
        """Close the bag."""
        self.bag.__exit__()

    def _play_once(self, executor: SingleThreadedExecutor) -> None:
        first_ns = self.bag.start_ns + round(self._values['start_offset_s'] * 1e9)
        timing = _Timing(first_ns, time.monotonic_ns(), self._values['rate'])
        self._tick(first_ns)
        for topic, _, received_ns, raw in self.bag.serialised(set(self._images)):
            if received_ns < first_ns:
                continue
            self._pass_time(executor, timing, received_ns)
            if not rclpy.ok():
                return
            self._tick(received_ns)
            self._images[topic].publish(raw)
            self.published[topic] += 1
        self._pass_time(executor, timing, self.bag.end_ns + round(self._values['linger_s'] * 1e9))

    def _pass_time(self, executor: SingleThreadedExecutor, timing: _Timing, until_ns: int) -> None:
        """Let the clock run up to a bag time."""
        period_s = self._values['clock_period_s']
        while rclpy.ok() and (left_s := timing.seconds_until(until_ns)) > 0:
            executor.spin_once(timeout_sec=min(left_s, period_s))
            self._tick(min(timing.bag_time_ns(), until_ns))

    def _tick(self, time_ns: int) -> None:
        if self._clock_publisher is not None:
            seconds, rest = divmod(time_ns, 1_000_000_000)
            self._clock_publisher.publish(Clock(clock=Time(sec=seconds, nanosec=rest)))

    def _wait_for_subscribers(self, executor: SingleThreadedExecutor) -> None:
        wanted = [(publisher, self._values['wait_for_subscribers']) for publisher in self._images.values()]
        if self._clock_publisher is not None:
            wanted.append((self._clock_publisher, self._values['wait_for_clock_subscribers']))
        while rclpy.ok() and any(publisher.get_subscription_count() < count for publisher, count in wanted):
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


def _message_class(message_type: str) -> type:
    package, _, name = message_type.split('/')
    return getattr(import_module(f'{package}.msg'), name)


def _check(values: dict[str, Any]) -> None:
    if not values['bag']:
        raise ConfigError('the parameter bag is empty; name a bag')
    if not values['rate'] > 0 or not values['clock_period_s'] > 0:
        raise ConfigError(f"rate is {values['rate']}, clock_period_s {values['clock_period_s']}; both must be positive")
    if values['start_offset_s'] < 0 or values['linger_s'] < 0:
        raise ConfigError(f"start_offset_s is {values['start_offset_s']}, linger_s {values['linger_s']}; neither may "
                          'be negative')


def main(arguments: list[str] | None = None) -> int:
    """Play a bag; the exit status."""
    use_shipped_profile(os.environ)
    rclpy.init(args=arguments)
    executor, node = SingleThreadedExecutor(), None
    try:
        node = BagPlayer()
        executor.add_node(node)
        node.run(executor)
    except RSGMambaError as error:
        print(f'bag_player_node: {error}', file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        executor.shutdown()
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
