"""Configuring, activating and ending a node, in the test's own process where that is enough."""
from contextlib import ExitStack
import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
import torch

from rsgmamba_ros.ops.cpu.sharing import CpuSharing
from rsgmamba_ros.ros import qos
from rsgmamba_ros.ros.conversions import image_message, stamp_message
from rsgmamba_ros.ros.segmentation import data_path

RGB = np.random.default_rng(0).integers(20, 230, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', None])
def test_a_bad_checkpoint_fails_the_configuration_and_a_good_one_then_works(bench, tmp_path, checkpoint_file, content,
                                                                            capfd):
    path = tmp_path / 'bad.safetensors'
    if content is not None:
        path.write_bytes(content)
    node = bench(checkpoint=str(path)).node
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert str(path) in capfd.readouterr().err
    node.set_parameters([Parameter('checkpoint', value=str(checkpoint_file))])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


@pytest.mark.parametrize('parameters, reason', [
    ({'modality': 'thermal'}, "was trained for 'depth'"), ({'modality': 'sonar'}, "modality is 'sonar'"),
    ({'device': 'cuda:99'}, 'cuda:99'), ({'output_height': 32}, '32x0'),
    ({'max_delay_s': 0.01}, 'max_delay_s is 0.01')])
def test_parameters_that_do_not_fit_fail_the_configuration_with_the_reason(bench, capfd, parameters, reason):
    node = bench(**parameters).node
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert reason in capfd.readouterr().err


def test_every_transition_can_be_gone_through_twice(bench):
    node = bench().node
    for _ in range(2):
        for name in ('configure', 'activate', 'deactivate', 'activate', 'deactivate', 'cleanup'):
            assert getattr(node, f'trigger_{name}')() == TransitionCallbackReturn.SUCCESS
    node.trigger_configure()
    node.trigger_activate()
    assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS


def test_harmless_parameters_change_at_run_time_and_others_say_when(bench):
    node = bench().node
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    changed, refused, out_of_range = node.set_parameters([
        Parameter('overlay_alpha', value=0.2), Parameter('max_wait_s', value=0.2),
        Parameter('overlay_alpha', value=1.5)])
    assert changed.successful
    assert 'clean it up first' in refused.reason
    assert not out_of_range.successful


def test_the_number_of_threads_is_taken_when_the_node_is_configured(bench):
    before = torch.get_num_threads()
    try:
        one = bench(threads=before + 1)
        assert torch.get_num_threads() == before
        assert one.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_cores_that_others_use_are_left_to_them_and_it_is_said(bench, capfd, monkeypatch):
    seconds = iter(range(10_000))  # at every look another second has passed, in which others used both cores
    monkeypatch.setattr(data_path, 'CpuSharing', lambda: CpuSharing(
        wanted=2, read=lambda: (float(next(seconds)) * 64, 0.0), clock=lambda: float(next(seconds))))
    before = torch.get_num_threads()
    try:
        one = bench()
        one.start()
        rgb = one.matched(one.peer.create_publisher(Image, 'rgb/image', qos.SENSOR_DATA))
        err = []

        def is_told():
            rgb.publish(image_message(RGB, 'rgb8', stamp_ns=time.time_ns(), frame_id=''))
            err.append(capfd.readouterr().err)
            return 'computes with 1 of 2 threads' in ''.join(err)

        one.wait_until(is_told)
    finally:
        torch.set_num_threads(before)


def test_compressed_images_are_taken_by_the_name_of_the_topic(bench):
    one = bench(**{'auxiliary.transport': 'compressed'})
    one.start()
    assert one.node.count_subscribers('depth/image') == 1
    infos = one.node.get_subscriptions_info_by_topic(one.node.resolve_topic_name('depth/image'))
    assert [info.topic_type for info in infos] == ['sensor_msgs/msg/CompressedImage']


def test_a_publisher_of_incompatible_qos_is_named(bench, capfd):
    one = bench(input_qos='reliable', diagnostics_period_s=0.1)
    arrays = []
    one.peer.create_subscription(DiagnosticArray, '/diagnostics', arrays.append, 10)
    one.peer.create_publisher(Image, 'rgb/image', qos.SENSOR_DATA)
    one.start()

    def is_told():
        topic = one.node.resolve_topic_name('rgb/image')
        return any(status.name.endswith('rgb') and topic in status.message and status.level == b'\x02'
                   for array in arrays for status in array.status)

    one.wait_until(is_told)
    assert 'incompatible QoS (RELIABILITY)' in capfd.readouterr().err


@pytest.fixture
def stranger():
    """Create a node in a participant of its own."""
    with ExitStack() as stack:
        def create(name, **options):
            context = rclpy.Context()
            rclpy.init(context=context)
            stack.callback(context.try_shutdown)
            node = rclpy.create_node(name, context=context, **options)
            stack.callback(node.destroy_node)
            return node
        yield create


@pytest.mark.parametrize(('sent', 'remedy'), [
    (CompressedImage, 'set rgb.transport to compressed'), (DiagnosticArray, 'remap rgb/image to a topic of images')])
def test_a_publisher_of_another_type_is_named_with_the_parameter_to_set(bench, stranger, capfd, sent, remedy):
    one = bench(diagnostics_period_s=0.1)
    arrays = []
    one.peer.create_subscription(DiagnosticArray, '/diagnostics', arrays.append, 10)
    # Another participant: within one, a topic has one type.
    other = stranger('stranger', namespace=one.node.get_namespace())
    other.create_publisher(sent, 'rgb/image', qos.RELIABLE)
    one.start()
    name = one.node.get_fully_qualified_name().lstrip('/')

    def messages():
        return [status.message for array in arrays for status in array.status if status.name == f'{name}: rgb']
    one.wait_until(lambda: any(remedy in message for message in messages()))
    assert 'check the name' not in messages()[-1]
    assert remedy in capfd.readouterr().err


def test_a_node_that_is_not_active_says_so_and_misses_no_image(bench, capfd):
    one = bench(diagnostics_period_s=0.1)
    arrays = []
    one.peer.create_subscription(DiagnosticArray, '/diagnostics', arrays.append, 10)
    assert one.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    name = one.node.get_fully_qualified_name().lstrip('/')

    def own():
        return [status for array in arrays for status in array.status if status.name.startswith(name)]

    one.wait_until(own)
    assert {(status.level, status.message) for status in own()} == {(b'\x00', 'inactive: activate the node')}
    assert one.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    one.wait_until(lambda: any('no image arrives' in status.message for status in own()))
    assert one.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    arrays.clear()
    one.wait_until(lambda: len(arrays) >= 3)
    assert own()[-1].message == 'inactive: activate the node'
    assert 'never received' not in capfd.readouterr().err, 'a camera takes a moment to begin'


def test_qos_overrides_change_a_profile(bench):
    name = '/test_qos_overrides_change_a_profile/rgb/image'
    one = bench(**{f'qos_overrides.{name}.subscription.reliability': 'reliable'})
    one.start()
    info, = one.node.get_subscriptions_info_by_topic(name)
    assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert qos.SENSOR_DATA.reliability == ReliabilityPolicy.BEST_EFFORT


def test_the_overlay_is_computed_only_while_somebody_wants_it(bench, monkeypatch):
    painted = []
    monkeypatch.setattr('rsgmamba_ros.ros.segmentation.publishers.overlay',
                        lambda image, *_, **__: painted.append(image) or np.ascontiguousarray(image))
    one = bench()
    one.start()
    labels, overlays = [], []
    one.peer.create_subscription(Image, 'segmentation', labels.append, qos.RESULT)
    rgb = one.matched(one.peer.create_publisher(Image, 'rgb/image', qos.SENSOR_DATA))
    one.wait_until(lambda: one.node.count_subscribers('segmentation'))

    def send():
        rgb.publish(image_message(RGB, 'rgb8', stamp_ns=time.time_ns(), frame_id=''))
        one.executor.spin_once(timeout_sec=0.1)

    one.wait_until(lambda: send() or labels)
    assert painted == []
    one.peer.create_subscription(Image, 'segmentation/overlay', overlays.append, qos.RESULT)
    one.wait_until(lambda: send() or overlays)
    assert (overlays[0].encoding, overlays[0].height, overlays[0].width) == ('rgb8', 48, 64)


def test_simulated_time_that_jumps_back_starts_afresh(bench, capfd):
    one = bench(use_sim_time=True)
    one.start()
    labels = []
    one.peer.create_subscription(Image, 'segmentation', labels.append, qos.RESULT)
    reliable = QoSProfile(depth=10, durability=DurabilityPolicy.VOLATILE, reliability=ReliabilityPolicy.BEST_EFFORT)
    clock = one.matched(one.peer.create_publisher(Clock, '/clock', reliable))
    rgb = one.matched(one.peer.create_publisher(Image, 'rgb/image', qos.SENSOR_DATA))
    one.wait_until(lambda: one.node.count_subscribers('segmentation'))

    rgb.publish(image_message(RGB, 'rgb8', stamp_ns=10 ** 9, frame_id=''))
    one.wait_until(lambda: '/clock' in capfd.readouterr().err)
    for start_s in (500, 100):
        for index in range(20):
            stamp_ns = start_s * 10 ** 9 + index * 10 ** 8
            clock.publish(Clock(clock=stamp_message(stamp_ns)))
            one.executor.spin_once(timeout_sec=0.02)
            rgb.publish(image_message(RGB, 'rgb8', stamp_ns=stamp_ns, frame_id=''))
            one.executor.spin_once(timeout_sec=0.02)
        one.wait_until(lambda start_s=start_s: any(0 <= message.header.stamp.sec - start_s < 100 for message in labels))
    assert 'starting afresh' in capfd.readouterr().err


def test_a_node_interrupted_in_its_work_ends_with_status_0_and_without_a_word(start_process, checkpoint_file, listen):
    results = listen(Image, '/interrupted/segmentation')
    node = start_process('rsgmamba_ros.ros.segmentation.node', namespace='/interrupted', autostart=True,
                         checkpoint=checkpoint_file)
    sensors = start_process('rsgmamba_ros.ros.tools.sensors', namespace='/interrupted', height=48, width=64,
                            rate_hz=30.0, wait_for_subscribers=1)
    sensors.wait_for_log('first image')
    results.wait_for(3)  # it works on images from now on, and is interrupted in the middle of one
    assert node.stop() == 0, node.log_since()
    log = node.log_since()
    for word in ('Traceback', 'terminate called', 'unexpected', 'context is invalid'):
        assert word not in log


def test_a_parameter_of_the_wrong_type_is_one_line_and_status_1(start_process):
    node = start_process('rsgmamba_ros.ros.segmentation.node', namespace='/wrong', max_wait_s='soon')
    assert node.process.wait(240) == 1
    assert node.log_since().count('\n') == 1
    assert 'max_wait_s' in node.log_since()
