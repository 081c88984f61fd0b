import signal
import subprocess
import sys

import numpy as np
import pytest

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.messages.images import LABELS
from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.vocabulary.images import Modality

pytest.importorskip('rclpy', reason='ROS is not here')

RATE_HZ, DURATION_S, SEED = 20.0, 4.0, 9
FAULTS = 'depth:missing@0.5-1 depth:clock:+0.2@1-1.5 rgb:frozen@1.5-2 rgb:darkness:5@2-2.5 depth:delay:0.2@2.5-3'


def start(module, *parameters):
    options = [item for parameter in parameters for item in ('-p', parameter)]
    return subprocess.Popen([sys.executable, '-m', f'rsgmamba_ros.ros.{module}', '--ros-args', *options],
                            stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """A bag from a recorder in one process and sensors with faults in another."""
    folder = tmp_path_factory.mktemp('sensors') / 'bag'
    recorder = start('tools.recorder', f'bag:={folder}')
    sensors = start('tools.sensors', f'rate_hz:={RATE_HZ}', f'duration_s:={DURATION_S}', f'seed:={SEED}',
                    'height:=60', 'width:=80', f'faults:={FAULTS}', 'wait_for_subscribers:=1')
    try:
        _, log = sensors.communicate(timeout=60)
        assert sensors.returncode == 0, log
        recorder.send_signal(signal.SIGINT)
        _, log = recorder.communicate(timeout=20)
        assert recorder.returncode == 0, log
        assert 'Traceback' not in log
    finally:
        for process in (sensors, recorder):
            process.kill()
            process.wait()
    return folder


@pytest.fixture(scope='module')
def images(bag):
    """Images and recorded label maps by content, each with its time of capture in seconds after the first."""
    found = {Modality.RGB: [], Modality.DEPTH: []}
    with BagReader(bag) as reader:
        for image in reader.images({'/rgb/image': Modality.RGB, '/depth/image': Modality.DEPTH}):
            found[image.modality].append(image.decode())
        found[LABELS] = list(reader.label_maps('/ground_truth'))
    start_ns = min(image.stamp_ns for image in found[LABELS])
    return {kind: [((image.stamp_ns - start_ns) * 1e-9, image) for image in of_kind] for kind, of_kind in found.items()}


def between(timed, start_s, end_s):
    return [image for time_s, image in timed if start_s - 1e-3 <= time_s < end_s - 1e-3]


def test_every_moment_has_an_image_and_its_ground_truth(images):
    # A busy machine may skip moments; images and ground truth of the others are complete.
    assert len(images[LABELS]) == len(images[Modality.RGB]) > 0.4 * RATE_HZ * DURATION_S
    assert {time_s for time_s, _ in images[LABELS]} == {time_s for time_s, _ in images[Modality.RGB]}


def test_images_are_those_of_the_seed(images):
    generator = SceneGenerator(SEED, height=60, width=80)
    for kind, name in ((Modality.RGB, 'rgb'), (Modality.DEPTH, 'encoded_auxiliary'), (LABELS, 'label_map')):
        time_s, image = images[kind][0]
        expected = getattr(generator.render(round(time_s * RATE_HZ) / RATE_HZ), name)
        np.testing.assert_array_equal(image.decode() if kind == LABELS else image.pixels, expected)
        assert (image.message if kind == LABELS else image).frame_id == 'camera_optical_frame'


def test_a_missing_camera_is_silent_for_its_time(images):
    assert between(images[Modality.DEPTH], 0, 0.5) and not between(images[Modality.DEPTH], 0.5, 1.0)


def test_a_clock_offset_moves_the_stamps(images):
    # Those of 1.0..1.5 s are stamped 1.2..1.7 s: 0.2 s after the step nothing is stamped, then twice as much is.
    assert not between(images[Modality.DEPTH], 1.0, 1.2)
    assert len(between(images[Modality.DEPTH], 1.5, 1.7)) > len(between(images[LABELS], 1.5, 1.7))


def test_a_frozen_camera_repeats_itself(images):
    frozen = between(images[Modality.RGB], 1.5, 2.0)
    assert len(frozen) > 3
    assert all(np.array_equal(frozen[0].pixels, image.pixels) for image in frozen)
    assert not np.array_equal(frozen[0].pixels, between(images[Modality.RGB], 1.0, 1.5)[0].pixels)


def test_a_corruption_lasts_for_its_time(images):
    dark, before = (np.mean([image.pixels.mean() for image in between(images[Modality.RGB], *span)])
                    for span in ((2.0, 2.5), (1.0, 1.5)))
    assert dark < 0.5 * before


def test_a_delayed_camera_keeps_its_stamps_and_arrives_late(images):
    late, before = ([(image.received_ns - image.stamp_ns) * 1e-9 for image in between(images[Modality.DEPTH], *span)]
                    for span in ((2.5, 3.0), (0.0, 0.5)))
    assert min(late) >= 0.2 and len(late) > 3 and np.median(before) < 0.2


def test_intrinsics_come_with_the_images(bag):
    with BagReader(bag) as reader:
        counts = {topic.name: (topic.message_type, topic.count) for topic in reader.topics}
    for modality in ('rgb', 'depth'):
        assert counts[f'/{modality}/camera_info'] == ('sensor_msgs/msg/CameraInfo', counts[f'/{modality}/image'][1])


@pytest.mark.parametrize('parameter, expected', [('faults:=depth:delya:1@1-2', 'delya'), ('modality:=rgb', 'depth'),
                                                 ('rate_hz:=0.0', 'rate_hz'), ('height:=1', '16x16')])
def test_a_parameter_that_cannot_be_used_is_one_clear_line(parameter, expected):
    process = start('tools.sensors', parameter)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 1
    assert len(log.strip().splitlines()) == 1 and expected in log
