"""The doctor and the monitor against real topics."""
from io import StringIO
import json
import subprocess
import sys

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
import pytest
from rich.console import Console

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


def test_the_doctor_finds_the_topics_of_running_cameras_and_prints_the_launch_command(start_process):
    sensors = start_process('rsgmamba_ros.ros.tools.sensors', namespace='/doctor', height=48, width=64, rate_hz=10.0)
    sensors.wait_for_log('first image')
    command = [sys.executable, '-m', 'rsgmamba_ros.cli.main', 'doctor', '--device', 'cpu', '--seconds', '4']
    result = subprocess.run([*command, '--json'], capture_output=True, text=True, check=False)
    found = json.loads(result.stdout)
    assert result.returncode == 0, found
    subjects = {finding['subject']: finding['text'] for finding in found}
    assert '48x64 rgb8' in subjects['/doctor/rgb/image']
    assert 'synthetic_sensors' in subjects['/doctor/depth/image']
    assert 'camera_optical_frame' in subjects['registration']
