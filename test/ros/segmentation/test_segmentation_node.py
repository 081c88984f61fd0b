"""A node in its own process lives through what sensors do. The tests share it, and each leaves it working."""
import numpy as np
import pytest

from rsgmamba_ros.msg import ModalityReliability
from rsgmamba_ros.ros.conversions import nanoseconds
from rsgmamba_ros.vocabulary.images import Modality


@pytest.fixture(autouse=True)
def node_is_well_afterwards(robot, segmentation_node):
    yield
    pairs = robot.stream(10)
    robot.wait_until(lambda: any(entry['rgb'].used and entry['depth'].used for entry in robot.answers(pairs).values()),
                     what='a segmentation of a pair')
    assert segmentation_node.process.poll() is None
    assert 'Traceback' not in segmentation_node.log_since()


def error_lines(segmentation_node, position):
    return [line for line in segmentation_node.log_since(position).splitlines() if '[ERROR]' in line]


def test_every_pair_gives_a_label_map_with_the_stamp_and_frame_of_its_leading_image(robot):
    stamps = robot.stream(10)
    answers = robot.wait_for_answers(stamps)
    assert sum(entry['rgb'].used and entry['depth'].used for entry in answers.values()) >= 5
    label_map = robot.label_maps[-1]
    assert (label_map.height, label_map.width, label_map.encoding, label_map.step) == (48, 64, 'mono8', 64)
    assert label_map.header.frame_id == 'rgb_optical'
    assert nanoseconds(label_map.header.stamp) == stamps[-1]
    assert np.frombuffer(label_map.data, np.uint8).max() <= 2


def test_it_goes_on_from_rgb_alone_when_depth_stops(robot):
    robot.stream(5)
    answers = robot.wait_for_answers(robot.stream(15, modalities=[Modality.RGB]))
    last = answers[max(answers)]
    assert last['depth'].presence == ModalityReliability.MISSING
    assert (last['depth'].reliability, last['depth'].used) == (0.0, False)
    assert last['rgb'].used


def test_it_goes_on_when_the_sensors_are_killed_and_started_again(robot, segmentation_node, start_process):
    for _ in range(2):
        sensors = start_process('rsgmamba_ros.ros.tools.sensors', namespace='/test', height=48, width=64,
                                rate_hz=5.0)
        before = len(robot.reliabilities)
        try:
            robot.wait_until(lambda before=before: any(
                all(entry.used for entry in message.modalities) for message in robot.reliabilities[before:]),
                timeout_s=60, what='a segmentation of a pair')
        finally:
            sensors.process.kill()
            sensors.process.wait()
        robot.spin(1.0)
        assert segmentation_node.process.poll() is None


def test_it_goes_on_from_depth_alone_when_rgb_stops(robot):
    robot.stream(5)
    stamps = robot.stream(15, modalities=[Modality.DEPTH])
    robot.wait_for_answers(stamps[10:])
    assert robot.reliabilities[-1].leader == 'depth'
    assert robot.label_maps[-1].header.frame_id == 'depth_optical'


def test_a_wrong_encoding_is_one_clear_error_and_depth_is_missing(robot, segmentation_node):
    position = len(segmentation_node.log_since())
    robot.stream(5)
    robot.wait_for_answers(robot.stream(8, change=lambda modality, pixels: (
        (pixels, '') if modality is Modality.RGB else (np.zeros((48, 64, 3), np.uint8), 'bgr8'))))
    lines = error_lines(segmentation_node, position)
    assert len([line for line in lines if "depth image has encoding 'bgr8'" in line]) == 1


@pytest.mark.parametrize('pixels, error', [
    (np.full((1, 1), 900, np.uint16), '1x1'),
    (np.full((48, 64), np.nan, np.float32), 'no valid pixel')])
def test_a_depth_image_without_content_is_one_clear_error_and_not_used(robot, segmentation_node, pixels, error):
    position = len(segmentation_node.log_since())
    encoding = '32FC1' if pixels.dtype == np.float32 else '16UC1'
    answers = robot.wait_for_answers(robot.stream(8, change=lambda modality, good: (
        (good, '') if modality is Modality.RGB else (pixels, encoding))))
    assert not any(entry['depth'].used for entry in list(answers.values())[-3:])
    assert all(entry['rgb'].used for entry in answers.values())
    assert len([line for line in error_lines(segmentation_node, position) if error in line]) == 1


def test_an_rgb_image_of_one_pixel_is_left_out_while_depth_is_there(robot):
    answers = robot.answers(robot.stream(10, change=lambda modality, pixels: (
        (pixels, '') if modality is Modality.DEPTH else (np.zeros((1, 1, 3), np.uint8), ''))))
    # An image whose depth comes too late, on a machine with more to do, has nothing that could be used.
    assert len(answers) >= 3
    assert not any(entry['rgb'].used for entry in answers.values())


def test_zero_stamps_are_one_clear_error(robot, segmentation_node):
    position = len(segmentation_node.log_since())
    before = len(robot.label_maps)
    robot.stream(10, stamp_ns=lambda index: 0)
    robot.wait_until(lambda: len(robot.label_maps) >= before + 10, what='a label map for each image')
    assert len(error_lines(segmentation_node, position)) >= 1


def test_a_bag_that_loops_is_one_clear_error(robot, segmentation_node):
    position = len(segmentation_node.log_since())
    starts = [1_600_000_100 * 10 ** 9, 1_600_000_000 * 10 ** 9]
    for start in starts:
        stamps = robot.stream(12, stamp_ns=lambda index, start=start: start + index * 100_000_000)
        robot.wait_for_answers(stamps[2:])
    # Twice it went back, to the first round and to the second: the second line is throttled.
    assert len([line for line in error_lines(segmentation_node, position) if 'stamps went back' in line]) == 1
