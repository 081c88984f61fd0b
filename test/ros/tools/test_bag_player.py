"""The player in its own process, heard over DDS."""
import time
from unittest.mock import patch

import pytest

pytest.importorskip('rclpy', reason='ROS is not here')

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
import yaml

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.sources import START_NS, synthetic_shots, write_shots
from rsgmamba_ros.ros import qos
from rsgmamba_ros.ros.conversions import nanoseconds
from rsgmamba_ros.vocabulary.images import Modality

COUNT, RATE_HZ = 10, 10


@pytest.fixture(scope='module')
def shots():
    return list(synthetic_shots(COUNT, seed=0, rate_hz=RATE_HZ, height=32, width=48, auxiliary=Modality.DEPTH))


class Listener:
    def __init__(self, topics):
        self.node = rclpy.create_node('listener')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.clock: list[int] = []
        self.images: dict[str, list] = {topic: [] for topic in topics}
        self.times: dict[str, list[float]] = {topic: [] for topic in topics}
        self.node.create_subscription(Clock, '/clock', lambda message: self.clock.append(nanoseconds(message.clock)),
                                      100)
        for topic, kind in topics.items():
            self.node.create_subscription(kind, topic, lambda message, topic=topic: self.hear(topic, message),
                                          qos.RESULT)

    def hear(self, topic, message):
        self.images[topic].append(message)
        self.times[topic].append(time.monotonic())

    def listen(self, player, until):
        end = time.monotonic() + 90
        while not until():
            assert time.monotonic() < end, player.log_since()
            self.executor.spin_once(timeout_sec=0.05)

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()


@pytest.fixture
def listen_to_bag(context):
    listeners = []

    def start(topics):
        listeners.append(Listener(topics))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.close()


def test_every_message_is_played_as_recorded_and_the_clock_goes_along(shots, tmp_path, start_process, listen_to_bag):
    write_shots(tmp_path / 'bag', shots, auxiliary=Modality.DEPTH, rate_hz=RATE_HZ)
    listener = listen_to_bag({'/rgb/image': Image, '/depth/image': Image})
    player = start_process('rsgmamba_ros.ros.tools.player', namespace='/', bag=tmp_path / 'bag', rate=0.5,
                           linger_s=0.2, topics="['/rgb/image','/depth/image']", wait_for_subscribers=1,
                           wait_for_clock_subscribers=1)
    listener.listen(player, lambda: player.process.poll() is not None)
    listener.listen(player, lambda: len(listener.images['/depth/image']) == COUNT)
    assert player.process.returncode == 0, player.log_since()
    for index, (rgb, depth) in enumerate(zip(listener.images['/rgb/image'], listener.images['/depth/image'])):
        assert nanoseconds(rgb.header.stamp) == START_NS + index * 100_000_000
        assert (rgb.encoding, depth.encoding) == ('rgb8', '16UC1')
        np.testing.assert_array_equal(np.frombuffer(depth.data, np.uint16).reshape(32, 48), shots[index].auxiliary)
    times = listener.times['/rgb/image']
    assert 1.5 < times[-1] - times[0] < 4  # 0.9 s of bag at half the rate; a busy machine adds to it
    assert listener.clock == sorted(listener.clock)
    assert listener.clock[-1] >= START_NS + 1_100_000_000


def test_a_loop_begins_at_the_offset_and_takes_the_clock_back(shots, tmp_path, start_process, listen_to_bag):
    write_shots(tmp_path / 'bag', shots, auxiliary=Modality.DEPTH, rate_hz=RATE_HZ, compressed=True)
    listener = listen_to_bag({'/rgb/image/compressed': CompressedImage})
    player = start_process('rsgmamba_ros.ros.tools.player', namespace='/', bag=tmp_path / 'bag', rate=2.0, loop=True,
                           start_offset_s=0.5, linger_s=0.0, topics="['/rgb/image/compressed']", wait_for_subscribers=1)
    heard = listener.images['/rgb/image/compressed']
    listener.listen(player, lambda: len(heard) >= 12)
    assert player.stop() == 0
    stamps = [(nanoseconds(message.header.stamp) - START_NS) // 100_000_000 for message in heard[:10]]
    assert stamps == [5, 6, 7, 8, 9] * 2
    assert (np.diff(listener.clock) < -100_000_000).any()
    with BagReader(tmp_path / 'bag') as bag:
        assert bytes(heard[0].data)[:2] == bytes(bag.first_images('/rgb/image/compressed', 1)[0].data)[:2]


def test_a_split_bag_with_the_times_of_its_last_part_in_metadata_is_played_from_the_first_image(
        shots, tmp_path, start_process, listen_to_bag):
    """As rosbag2 writes it after a split: starting_time and duration are those of the last file."""
    path = tmp_path / 'bag'
    path.mkdir()
    for part, half in enumerate((shots[:COUNT // 2], shots[COUNT // 2:])):
        with patch('rsgmamba_ros.data.bags.sources.START_NS', START_NS + part * COUNT // 2 * 100_000_000):
            write_shots(tmp_path / f'part{part}', half, auxiliary=Modality.DEPTH, rate_hz=RATE_HZ)
        next((tmp_path / f'part{part}').glob('*.mcap')).rename(path / f'bag_{part}.mcap')
    metadata = yaml.safe_load((tmp_path / 'part1' / 'metadata.yaml').read_text())
    metadata['rosbag2_bagfile_information']['relative_file_paths'] = ['bag_0.mcap', 'bag_1.mcap']
    (path / 'metadata.yaml').write_text(yaml.safe_dump(metadata))
    listener = listen_to_bag({'/rgb/image': Image, '/depth/image': Image})
    player = start_process('rsgmamba_ros.ros.tools.player', namespace='/', bag=path, linger_s=0.2,
                           topics="['/rgb/image','/depth/image']", wait_for_subscribers=1)
    listener.listen(player, lambda: player.process.poll() is not None)
    listener.listen(player, lambda: all(len(heard) == COUNT for heard in listener.images.values()))
    heard = [nanoseconds(message.header.stamp) for message in listener.images['/rgb/image']]
    assert heard == [START_NS + index * 100_000_000 for index in range(COUNT)]


@pytest.mark.parametrize(('parameters', 'message'), [
    ({}, 'the parameter bag is empty'), ({'bag': '/nowhere'}, "no bag at '/nowhere'"),
    ({'bag': '/nowhere', 'rate': 0.0}, 'rate is 0.0')])
def test_what_cannot_be_played_is_one_line_and_status_1(start_process, parameters, message):
    player = start_process('rsgmamba_ros.ros.tools.player', namespace='/', **parameters)
    assert player.process.wait(60) == 1
    assert player.log_since().startswith('bag_player_node: ')
    assert message in player.log_since()
    assert 'Traceback' not in player.log_since()
