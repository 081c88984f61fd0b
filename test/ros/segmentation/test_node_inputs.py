"""What a node finds out about its inputs and its twins from the ROS graph, and the QoS that it asks for."""
from pathlib import Path
import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from rsgmamba_ros.ros import qos
from rsgmamba_ros.ros.conversions import image_message

RGB = np.random.default_rng(0).integers(20, 230, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def diagnosed(bench):
    """Makes a `bench` that keeps its diagnostics, which come ten times a second."""
    def make(**parameters):
        made = bench(diagnostics_period_s=0.1, **parameters)
        made.diagnostics = []
        made.peer.create_subscription(DiagnosticArray, '/diagnostics', made.diagnostics.append, 10)
        return made
    return make


@pytest.fixture
def another_process(context):
    """A node with a context of its own: DDS allows one type for a topic in each participant."""
    own = Context()
    own.init()
    node = rclpy.create_node('other', context=own)
    yield node
    node.destroy_node()
    own.try_shutdown()


def messages(one, source):
    """The messages of one part in the diagnostics of this node."""
    name = f'{one.node.get_fully_qualified_name().lstrip("/")}: {source}'
    return [status.message for array in one.diagnostics for status in array.status if status.name == name]


def reliability(one):
    return {info.qos_profile.reliability
            for info in one.node.get_subscriptions_info_by_topic(one.node.resolve_topic_name('rgb/image'))}


def test_a_topic_without_a_publisher_is_named_and_so_is_the_camera(diagnosed):
    one = diagnosed()
    one.start()
    topic = one.node.resolve_topic_name('rgb/image')
    one.wait_until(lambda: any(f'nobody publishes on {topic}' in text for text in messages(one, 'rgb')))
    assert {status.hardware_id for status in one.diagnostics[-1].status if status.name.endswith(': rgb')} == {topic}


def test_a_node_of_the_same_name_and_one_that_publishes_the_same_are_named(diagnosed, another_process):
    one = diagnosed()
    one.start()
    twin = rclpy.create_node('segmentation', namespace=one.node.get_namespace(), context=another_process.context)
    one.wait_until(lambda: any('is called' in text for text in messages(one, 'output')))
    twin.destroy_node()
    another_process.create_publisher(Image, one.node.resolve_topic_name('segmentation'), qos.RESULT)
    one.wait_until(lambda: any('/other publishes on' in text for text in messages(one, 'output')))


def test_input_qos_follows_the_publishers_and_no_image_is_lost_or_doubled_by_the_change(diagnosed, monkeypatch):
    one = diagnosed()
    arrived = []
    one.start()
    diagnostics = one.node._data_path._diagnostics
    monkeypatch.setattr(diagnostics, 'arrived', lambda modality, *, stamp_ns: arrived.append(stamp_ns))
    assert reliability(one) == {ReliabilityPolicy.BEST_EFFORT}
    rgb = one.matched(one.peer.create_publisher(Image, 'rgb/image', qos.RELIABLE))
    sent = []

    def send():
        sent.append(time.time_ns())
        rgb.publish(image_message(RGB, 'rgb8', stamp_ns=sent[-1], frame_id=''))
        one.executor.spin_once(timeout_sec=0.01)

    one.wait_until(lambda: send() or reliability(one) == {ReliabilityPolicy.RELIABLE})
    one.wait_until(lambda: arrived and arrived[-1] == sent[-1])
    assert arrived == sent

    best_effort = one.peer.create_publisher(Image, 'rgb/image', qos.SENSOR_DATA)
    one.wait_until(lambda: send() or reliability(one) == {ReliabilityPolicy.BEST_EFFORT})
    one.peer.destroy_publisher(best_effort)
    assert sorted(set(arrived)) == sorted(arrived)


def test_an_override_of_the_reliability_is_stronger_than_auto(diagnosed, request):
    topic = f'/{request.node.name}/rgb/image'
    one = diagnosed(**{f'qos_overrides.{topic}.subscription.reliability': 'best_effort'})
    one.peer.create_publisher(Image, 'rgb/image', qos.RELIABLE)
    one.start()
    end = time.monotonic() + 1.2  # two looks at the publishers
    one.wait_until(lambda: time.monotonic() > end)
    assert reliability(one) == {ReliabilityPolicy.BEST_EFFORT}


def test_images_that_are_lost_on_the_way_are_said_once_with_the_path_of_the_profile(diagnosed, capfd, monkeypatch):
    monkeypatch.setattr('rsgmamba_ros.ros.segmentation.diagnostics._START_UP_S', 0.0)
    one = diagnosed()
    one.start()
    rgb = one.matched(one.peer.create_publisher(Image, 'rgb/image', qos.SENSOR_DATA))
    lines: list[str] = []
    due_ns = time.time_ns()

    def lose():
        # Two of twelve images of a camera with 60 Hz arrive, five times a second and each once.
        nonlocal due_ns
        if time.time_ns() >= due_ns:
            for stamp_ns in (due_ns - 16_000_000, due_ns):
                rgb.publish(image_message(RGB, 'rgb8', stamp_ns=stamp_ns, frame_id=''))
            due_ns += 200_000_000
        one.executor.spin_once(timeout_sec=0.02)
        lines.extend(line for line in capfd.readouterr().err.splitlines() if 'lost on the way' in line)

    one.wait_until(lambda: lose() or lines)
    path = Path(lines[0].partition('FASTRTPS_DEFAULT_PROFILES_FILE=')[2].split()[0])
    assert path.is_file() and path.is_absolute()


def test_the_overlay_is_published_compressed_too(diagnosed):
    one = diagnosed()
    one.start()
    overlays = []
    one.peer.create_subscription(CompressedImage, 'segmentation/overlay/compressed', overlays.append, qos.RESULT)
    rgb = one.matched(one.peer.create_publisher(Image, 'rgb/image', qos.SENSOR_DATA))

    def send():
        rgb.publish(image_message(RGB, 'rgb8', stamp_ns=time.time_ns(), frame_id='camera'))
        one.executor.spin_once(timeout_sec=0.1)

    one.wait_until(lambda: send() or overlays)
    assert overlays[0].format == 'rgb8; jpeg compressed bgr8' and overlays[0].header.frame_id == 'camera'
    assert bytes(overlays[0].data[:2]) == b'\xff\xd8'
