"""What the doctor finds, and says to do."""
import json

import pytest

from rsgmamba_ros.cli.main import main
from rsgmamba_ros.cli.robot.findings import Level
from rsgmamba_ros.cli.robot.topics import choose_pair, topic_findings, transport_finding
from rsgmamba_ros.vocabulary.images import Modality

COLOUR, ALIGNED = '/camera/camera/color/image_raw', '/camera/camera/aligned_depth_to_color/image_raw'
RAW_DEPTH, INFRARED = '/camera/camera/depth/image_rect_raw', '/camera/camera/infra1/image_rect_raw'


def topic(**values):
    return {'type': 'sensor_msgs/msg/Image', 'publishers': ['camera'], 'reliable': True, 'images': 150, 'rate_hz': 30.0,
            'frame_id': 'camera_color_optical_frame', 'encoding': '16UC1', 'height': 480, 'width': 640, 'lag_s': 0.02,
            'sensor_rate_hz': 30.0, 'zero_stamps': False, **values}


@pytest.fixture
def realsense():
    """What realsense-ros 4 publishes with align_depth.enable:=true."""
    return {COLOUR: topic(encoding='rgb8'), ALIGNED: topic(),
            RAW_DEPTH: topic(frame_id='camera_depth_optical_frame', height=480, width=848),
            INFRARED: topic(encoding='mono8', frame_id='camera_infra1_optical_frame'),
            COLOUR + '/compressed': topic(type='sensor_msgs/msg/CompressedImage',
                                          encoding='rgb8; jpeg compressed bgr8'),
            RAW_DEPTH + '/compressedDepth': topic(type='sensor_msgs/msg/CompressedImage',
                                                  encoding='16UC1; compressedDepth png')}


def problems(topics, auxiliary=Modality.DEPTH, **named):
    pair = choose_pair(topics, auxiliary, **named)
    return [finding for finding in topic_findings(topics, pair, auxiliary) if finding.level is not Level.OK]


def test_the_topics_of_a_realsense_are_found_and_well(realsense):
    pair = choose_pair(realsense, Modality.DEPTH)
    assert (pair.rgb, pair.auxiliary) == (COLOUR, ALIGNED)
    assert problems(realsense) == []


def test_depth_that_is_not_registered_is_a_warning_with_the_remedy(realsense):
    del realsense[ALIGNED]
    finding, = problems(realsense)
    assert finding.level is Level.WARN and 'align_depth.enable:=true' in finding.remedy


@pytest.mark.parametrize('change, level, words', [
    ({'rate_hz': 9.0}, Level.WARN, 'lost on the way'), ({'zero_stamps': True}, Level.ERROR, 'stamps are zero'),
    ({'lag_s': 7.5}, Level.WARN, '7.5 s behind'), ({'publishers': ['a', 'b']}, Level.WARN, 'several nodes'),
    ({'images': 0}, Level.ERROR, 'no image came'), ({'encoding': 'bgr8'}, Level.ERROR, 'not read as depth')])
def test_each_problem_of_a_topic_is_named_with_a_remedy(realsense, change, level, words):
    realsense[ALIGNED] |= change
    found = problems(realsense, other=ALIGNED)
    assert [(finding.level, bool(finding.remedy)) for finding in found if words in finding.text] == [(level, True)]


def test_a_topic_that_is_not_there_is_an_error_that_names_those_that_are(realsense):
    finding, = problems(realsense, rgb='/wrong')
    assert finding.level is Level.ERROR and COLOUR in finding.remedy
    missing = problems({})
    assert [finding.level for finding in missing] == [Level.ERROR, Level.ERROR]


def test_stock_dds_is_a_warning_only_for_best_effort_cameras(realsense, monkeypatch):
    monkeypatch.delenv('FASTRTPS_DEFAULT_PROFILES_FILE', raising=False)
    setting = 'FASTRTPS_DEFAULT_PROFILES_FILE=/share/fastdds.xml'
    assert transport_finding('rmw_fastrtps_cpp', setting, realsense).level is Level.OK
    realsense[COLOUR]['reliable'] = False
    finding = transport_finding('rmw_fastrtps_cpp', setting, realsense)
    assert finding.level is Level.WARN and setting in finding.remedy


def test_the_machine_alone_is_looked_at_without_ros(capsys):
    assert main(['doctor', '--no-topics', '--device', 'cpu', '--json']) == 0
    found = {finding['subject']: finding for finding in json.loads(capsys.readouterr().out)}
    assert {'torch', 'GPU', 'scan', 'CPU kernels', 'checkpoint'} <= set(found)
    assert found['checkpoint']['text'].startswith('lite_nyuv2_13')


def test_a_checkpoint_that_is_not_there_is_exit_status_1(capsys):
    assert main(['doctor', '--no-topics', '--device', 'cpu', '--checkpoint', '/nowhere.safetensors']) == 1
    assert 'error' in capsys.readouterr().out
