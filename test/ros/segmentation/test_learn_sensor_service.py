"""The service ~/learn_sensor over DDS: a node with a network whose head takes a profile, on the test's executor."""
import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.msg import Reliability
from rsgmamba_ros.network.checkpoint import load_checkpoint
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.ros import qos
from rsgmamba_ros.ros.conversions import image_message
from rsgmamba_ros.ros.segmentation import data_path
from rsgmamba_ros.ros.segmentation.node import SegmentationNode
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import load_profile
from test.pipeline.profiled_heads import FIGURES, with_profiled_head

RGB, DEPTH, _ = Modality
ADVICE = 'reliability is by the general prior; learn this sensor with: ros2 service call '


class Bench:
    """A node and a robot on one executor: what blocks it blocks the images, too."""

    def __init__(self, name, **parameters):
        overrides = [Parameter(key, value=value) for key, value in parameters.items()]
        self.node = SegmentationNode(namespace=f'/{name}', parameter_overrides=overrides)
        self.peer = rclpy.create_node('peer', namespace=f'/{name}')
        self.executor = SingleThreadedExecutor()
        for node in (self.node, self.peer):
            self.executor.add_node(node)
        self.publishers = {modality: self.peer.create_publisher(Image, f'{modality}/image', qos.RELIABLE)
                           for modality in (RGB, DEPTH)}
        self.results: list[Reliability] = []
        self.diagnostics: list[DiagnosticArray] = []
        self.peer.create_subscription(Reliability, 'segmentation/reliability', self.results.append, qos.RESULT)
        self.peer.create_subscription(DiagnosticArray, '/diagnostics', self.diagnostics.append, 10)
        self.client = self.peer.create_client(Trigger, 'segmentation/learn_sensor')
        self.generator = SceneGenerator(5, height=96, width=128, auxiliary=DEPTH)
        self.spoil = lambda modality, pixels: pixels
        self.images = 0

    def start(self):
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.until(lambda: self.client.service_is_ready() and all(
            publisher.get_subscription_count() for publisher in self.publishers.values()))

    def until(self, condition, timeout_s=20.0):
        """Publish pairs at 10 Hz until it is so."""
        end, due = time.monotonic() + timeout_s, 0.0
        while not condition():
            assert time.monotonic() < end, 'waited in vain'
            if time.monotonic() >= due:
                due = time.monotonic() + 0.1
                self.publish()
            self.executor.spin_once(timeout_sec=0.02)

    def publish(self):
        scene = self.generator.render(0.1 * self.images)
        self.images += 1
        stamp_ns = time.time_ns()
        for modality, pixels, encoding in ((RGB, scene.rgb, 'rgb8'), (DEPTH, scene.auxiliary, '32FC1')):
            self.publishers[modality].publish(image_message(
                self.spoil(modality, pixels), encoding, stamp_ns=stamp_ns, frame_id='camera'))

    def learn(self, timeout_s=20.0):
        future = self.client.call_async(Trigger.Request())
        self.until(future.done, timeout_s)
        return future.result()

    def diagnosed(self):
        """The value of the key in the newest diagnostics."""
        values = [value.value for status in self.diagnostics[-1].status for value in status.values
                  if value.key == 'sensor_profile'] if self.diagnostics else []
        return values[0] if values else ''

    def close(self):
        self.node.close()
        self.executor.shutdown()
        self.node.destroy_node()
        self.peer.destroy_node()


def rgb_reliability(result: Reliability) -> float:
    return next(item.reliability for item in result.modalities if item.modality == 'rgb')


@pytest.fixture
def bench(make_bench, monkeypatch):
    """Benches of a network whose head is a quick stand-in."""
    monkeypatch.setattr(data_path, 'Segmenter', lambda path, **options: Segmenter(
        with_profiled_head(load_checkpoint(path)), **options))
    return make_bench


@pytest.fixture
def make_bench(context, checkpoint_file, request, monkeypatch, tmp_path):
    monkeypatch.setenv('ROS_HOME', str(tmp_path / 'ros_home'))
    benches = []

    def make(**parameters):
        benches.append(Bench(request.node.name.split('[')[0], **{
            'checkpoint': str(checkpoint_file), 'learn_sensor_s': 3.0, 'diagnostics_period_s': 0.2,
            'input_qos': 'reliable', 'threads': 1, **parameters}))
        return benches[-1]

    yield make
    for one in benches:
        one.close()


def test_a_sensor_is_learned_used_and_saved_while_images_are_segmented(bench, tmp_path, capfd):
    robot = bench()
    robot.start()
    robot.until(lambda: robot.results and robot.diagnosed())
    service = '/test_a_sensor_is_learned_used_and_saved_while_images_are_segmented/segmentation/learn_sensor'
    assert robot.diagnosed() == f'{ADVICE}{service} std_srvs/srv/Trigger'
    assert robot.results[-1].sensor_profile == ''
    before = len(robot.results)
    answer = robot.learn()
    assert answer.success, answer.message
    assert len(robot.results) - before >= 5  # nothing stood still for the three seconds
    path = tmp_path / 'ros_home' / 'rsgmamba_ros' / f'{robot.node.get_namespace()[1:]}.segmentation.yaml'
    assert str(path) in answer.message
    profile = load_profile(path)
    assert 5 <= profile.images <= 20 and profile.mean.shape == (FIGURES,)
    robot.until(lambda: robot.results[-1].sensor_profile == str(path) and robot.diagnosed() == str(path))
    assert capfd.readouterr().err.count(ADVICE) == 1


def test_a_learned_profile_is_saved_to_the_file_of_the_parameter_and_used_at_the_next_start(bench, tmp_path, capfd):
    path = tmp_path / 'front.yaml'
    robot = bench(sensor_profile=str(path))
    robot.start()
    assert f'{path} does not exist' in capfd.readouterr().err
    assert robot.learn().success
    robot.node.trigger_deactivate()
    robot.node.trigger_cleanup()
    robot.results.clear()
    robot.start()
    robot.until(lambda: robot.results and robot.results[-1].sensor_profile == str(path))
    assert ADVICE not in capfd.readouterr().err


def test_a_covered_camera_is_refused_and_the_older_profile_stays(bench, tmp_path):
    path = tmp_path / 'front.yaml'
    robot = bench(sensor_profile=str(path))
    robot.start()
    assert robot.learn().success
    content = path.read_bytes()
    noise = np.random.default_rng(0)
    robot.spoil = lambda modality, pixels: noise.integers(0, 4, pixels.shape, np.uint8) if modality is RGB else pixels
    answer = robot.learn()
    assert not answer.success and 'rgb is covered or dark' in answer.message
    assert path.read_bytes() == content
    robot.until(lambda: robot.results[-1].sensor_profile == str(path))


def test_the_shipped_network_learns_a_sensor_and_what_failures_change_on_it(make_bench, tmp_path):
    path = tmp_path / 'front.yaml'
    robot = make_bench(checkpoint='lite_nyuv2_13', sensor_profile=str(path), learn_sensor_s=20.0)
    robot.start()
    robot.until(lambda: robot.results, 60.0)
    answer = robot.learn(60.0)
    assert answer.success, answer.message
    profile = load_profile(path)
    assert profile.signatures
    robot.until(lambda: robot.results[-1].sensor_profile == str(path), 60.0)
    healthy = rgb_reliability(robot.results[-1])
    robot.spoil = lambda modality, pixels: pixels // 12 if modality is RGB else pixels
    before = len(robot.results)
    robot.until(lambda: len(robot.results) > before + 5, 60.0)
    assert rgb_reliability(robot.results[-1]) < healthy - 0.2


def test_without_images_the_answer_says_that_none_came(bench):
    robot = bench(learn_sensor_s=1.0)
    robot.start()
    robot.publish = lambda: None
    answer = robot.learn()
    assert not answer.success and '0 image pairs are too few' in answer.message


def test_a_second_request_is_refused_at_once_and_a_deactivated_node_answers_the_first(bench):
    robot = bench(learn_sensor_s=60.0)
    robot.start()
    first = robot.client.call_async(Trigger.Request())
    second = robot.learn()
    assert not second.success and 'already' in second.message
    assert not first.done()
    robot.node.trigger_deactivate()
    robot.until(first.done)
    assert not first.result().success and 'deactivated' in first.result().message
    third = robot.learn()
    assert not third.success and 'not active' in third.message


@pytest.mark.parametrize('content', ['version: 7', 'text'])
def test_a_damaged_profile_fails_the_configuration_with_the_reason(bench, tmp_path, capfd, content):
    path = tmp_path / 'front.yaml'
    path.write_text(content)
    assert bench(sensor_profile=str(path)).node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert 'front.yaml is no sensor profile' in capfd.readouterr().err
