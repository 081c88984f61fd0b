import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.synthetic import SYNTHETIC_LABELS
from rsgmamba_ros.network.checkpoint import Checkpoint, save_checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

rclpy = pytest.importorskip('rclpy', reason='ROS is not here')
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from rsgmamba_ros.ros import qos  # noqa: E402

PHASES = 10


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A network with random weights: processes, topics and files do not depend on its predictions."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('checkpoint') / 'random.safetensors'
    save_checkpoint(path, Checkpoint(
        network=create_network('nano', classes=len(SYNTHETIC_LABELS)), labels=SYNTHETIC_LABELS,
        preprocessing=PreprocessingConfig(height=64, width=96)))
    return path


@pytest.fixture
def start(tmp_path):
    """Starts a small demo in `tmp_path`; it is ended after the test, and ends its children itself."""
    started = []

    def start(checkpoint, *, phase_s=0.8):
        options = {'--out': tmp_path, '--rate-hz': 5, '--phase-s': phase_s, '--height': 64, '--width': 96,
                   '--checkpoint': checkpoint, '--domain-id': os.environ['ROS_DOMAIN_ID']}
        words = [str(word) for option in options.items() for word in option]
        started.append(subprocess.Popen([sys.executable, '-m', 'rsgmamba_ros.ros.tools.demo', *words],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for demo in started:
        demo.terminate()
        demo.communicate(timeout=60)


@pytest.fixture
def children_once_running(context):
    """Gives a demo's children as soon as the node has published results: on a busy machine that takes long."""
    node, executor, results = rclpy.create_node('watcher'), SingleThreadedExecutor(), []
    executor.add_node(node)
    node.create_subscription(Image, '/segmentation', results.append, qos.RESULT)

    def children(demo):
        end = time.monotonic() + 180
        while demo.poll() is None and len(results) < 3 and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
        assert demo.poll() is None, demo.communicate()
        assert results
        return psutil.Process(demo.pid).children(recursive=True)

    yield children
    executor.shutdown()
    node.destroy_node()


def assert_partial_result(out):
    summary = json.loads((out / 'summary.json').read_text())
    assert not summary['complete'] and len(summary['phases']) == PHASES
    with BagReader(out / 'bag') as bag:
        assert not bag.damage and {'/rgb/image', '/segmentation'} <= {topic.name for topic in bag.topics if topic.count}


def test_a_whole_demo_writes_bag_summary_and_picture(tmp_path, checkpoint, start):
    demo = start(checkpoint)
    printed, errors = demo.communicate(timeout=240)
    assert demo.returncode == 0, errors
    assert 'Traceback' not in errors
    summary = json.loads((tmp_path / 'summary.json').read_text())
    phases = {phase['name']: phase for phase in summary['phases']}
    assert summary['complete'] and len(phases) == PHASES and all(name in printed for name in phases)
    assert all(phase['published'] > 0 for phase in phases.values())
    assert phases['depth missing']['reliability']['depth'] == 0.0
    assert phases['RGB missing']['reliability']['depth'] > 0.0
    assert (tmp_path / 'demo.png').is_file()
    with BagReader(tmp_path / 'bag') as bag:
        topics = {topic.name for topic in bag.topics if topic.count}
    assert {'/rgb/image', '/depth/image', '/ground_truth', '/segmentation', '/segmentation/reliability',
            '/segmentation/overlay/compressed'} <= topics


def test_ctrl_c_leaves_a_valid_partial_result_and_no_process(tmp_path, checkpoint, start, children_once_running):
    demo = start(checkpoint, phase_s=8.0)
    children = children_once_running(demo)
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=120)
    assert demo.returncode == 130 and 'Traceback' not in errors and 'interrupted' in errors
    assert len(children) == 3 and not any(child.is_running() for child in children)
    assert_partial_result(tmp_path)


def test_a_node_that_dies_ends_the_demo_with_one_clear_line(tmp_path, checkpoint, start, children_once_running):
    demo = start(checkpoint, phase_s=8.0)
    children = children_once_running(demo)
    next(child for child in children if 'segmentation.node' in ' '.join(child.cmdline())).kill()
    _, errors = demo.communicate(timeout=120)
    assert demo.returncode == 1 and 'Traceback' not in errors
    assert [line for line in errors.splitlines() if line.startswith('demo: the node process ended with status -9')]
    assert not any(child.is_running() for child in children)
    assert_partial_result(tmp_path)


@pytest.mark.parametrize('content', [None, b'no network'])
def test_a_checkpoint_that_cannot_be_used_is_said_in_one_line(tmp_path, start, content):
    file = tmp_path / 'wrong.safetensors'
    if content:
        file.write_bytes(content)
    demo = start(file)
    _, errors = demo.communicate(timeout=120)
    assert demo.returncode == 1 and 'Traceback' not in errors
    assert 'wrong.safetensors' in errors.splitlines()[-1]
