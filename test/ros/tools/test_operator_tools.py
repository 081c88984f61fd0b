"""The doctor and the monitor against real topics."""
from io import StringIO
import shlex
import subprocess
import sys

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
import pytest
from rich.console import Console
from sensor_msgs.msg import Image

from rsgmamba_ros.ros.tools.monitor import collect, view


def status(part, hardware, level=DiagnosticStatus.OK, message='well', **values):
    return DiagnosticStatus(level=level, name=f'front/segmentation: {part}', hardware_id=hardware, message=message,
                            values=[KeyValue(key=key, value=value) for key, value in values.items()])


def text_of(nodes):
    output = StringIO()
    Console(file=output, width=160).print(view(nodes))
    return output.getvalue()


def test_the_monitor_shows_rates_reliabilities_and_drops_of_segmentation_nodes_only():
    nodes = {}
    other = DiagnosticStatus(name='camera: temperature', hardware_id='camera')
    collect(nodes, DiagnosticArray(status=[
        other, status('rgb', '/camera/color/image_raw', rate_hz='29.9', learned_rate_hz='30.0', reliability='0.81'),
        status('depth', '/camera/depth/image_raw', DiagnosticStatus.WARN, 'stopped 2.1 s ago', dropouts='3'),
        status('synchroniser', 'rsgmamba_ros', **{'depth.drop.too_late': '7'}),
        status('output', 'rsgmamba_ros', rate_hz='12.4', latency_p95_ms='88.0')]))
    text = text_of(nodes)
    for word in ('front/segmentation', '29.9', '0.81', 'stopped 2.1 s ago', 'depth.drop.too_late 7', '12.4',
                 'p95 88.0'):
        assert word in text
    assert 'temperature' not in text


def test_the_monitor_waits_for_a_node():
    assert 'waiting' in text_of({})


@pytest.mark.parametrize('module', ['rsgmamba_ros.ros.tools.monitor'])
def test_a_monitor_without_a_node_says_so_and_ends_with_status_1(module):
    result = subprocess.run([sys.executable, '-m', module, '--once', '--patience-s', '0.5'], capture_output=True,
                            text=True, check=False)
    assert result.returncode == 1
    assert 'no segmentation node published' in result.stderr and result.stderr.count('\n') == 1


def test_a_realsense_is_brought_up_with_what_the_doctor_prints(start_process, checkpoint_file, listen):
    """A stand-in publishes on the topics of realsense-ros 4; the page docs/robot.md has these steps."""
    colour, depth = '/camera/camera/color/image_raw', '/camera/camera/aligned_depth_to_color/image_raw'
    driver = start_process('rsgmamba_ros.ros.tools.sensors', namespace='/camera/camera', height=48, width=64,
                           rate_hz=10.0, remappings=[f'rgb/image:={colour}', f'depth/image:={depth}'])
    driver.wait_for_log('first image')
    command = [sys.executable, '-m', 'rsgmamba_ros.cli.main', 'doctor', '--device', 'cpu', '--seconds', '4']
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    for word in ('48x64 rgb8', '48x64 16UC1', 'synthetic_sensors', "both have frame 'camera_optical_frame'"):
        assert word in ' '.join(result.stdout.split())
    launch = shlex.split(result.stdout.strip().splitlines()[-1])
    assert launch[:4] == ['ros2', 'launch', 'rsgmamba_ros', 'segment.launch.py']
    arguments = dict(argument.split(':=') for argument in launch[4:])
    assert arguments == {'modality': 'depth', 'rgb_topic': colour, 'auxiliary_topic': depth}
    labels = listen(Image, '/segmentation')
    start_process('rsgmamba_ros.ros.segmentation.node', namespace='/', autostart=True, checkpoint=checkpoint_file,
                  remappings=[f'rgb/image:={arguments["rgb_topic"]}', f'depth/image:={arguments["auxiliary_topic"]}'])
    labels.wait_for(3)
    assert labels.messages[-1].encoding == 'mono8'
