"""A bag played over DDS to a real node, and the same bag replayed offline: they must agree."""
import json
import signal
import time

import pytest
import torch

pytest.importorskip('rclpy', reason='ROS is not here')

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.sources import synthetic_shots, write_shots
from rsgmamba_ros.data.synthetic import SYNTHETIC_LABELS
from rsgmamba_ros.network.checkpoint import Checkpoint, save_checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.pipeline.node_settings import NodeSettings
from rsgmamba_ros.replay.compare import agreement
from rsgmamba_ros.replay.observers.bundle_log import read_bundles
from rsgmamba_ros.replay.session import ReplayOptions, ReplaySession
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

COUNT, RATE_HZ = 30, 10


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('online') / 'bag'
    shots = synthetic_shots(COUNT, seed=3, rate_hz=RATE_HZ, height=48, width=64, auxiliary=Modality.DEPTH)
    write_shots(path, shots, auxiliary=Modality.DEPTH, rate_hz=RATE_HZ)
    return path


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('checkpoint') / 'nano.safetensors'
    network = create_network('nano', classes=len(SYNTHETIC_LABELS)).eval()
    save_checkpoint(path, Checkpoint(network, SYNTHETIC_LABELS, PreprocessingConfig(64, 64)))
    return path


@pytest.fixture(scope='module')
def offline(bag, checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp('offline')
    with BagReader(bag) as reader:
        options = ReplayOptions(bag, out, checkpoint=checkpoint, settings=NodeSettings(device='cpu'),
                                write_results=False)
        ReplaySession(options, reader).run()
    return out


@pytest.fixture(scope='module')
def play(bag, checkpoint, tmp_path_factory, start_process, project_root):
    """Play the bag to a node, which may be stalled on the way; the folder of the results."""
    def play(*, stall_s: float = 0.0):
        out = tmp_path_factory.mktemp('out')
        node = start_process('rsgmamba_ros.ros.segmentation.node', namespace='/', autostart=True, use_sim_time=True,
                             checkpoint=checkpoint, device='cpu', input_qos='reliable', queue_size=COUNT,
                             parameter_files=[project_root / 'config' / 'replay_results.yaml'])
        evaluator = start_process('rsgmamba_ros.ros.tools.evaluator', namespace='/', bag=bag, out=out,
                                  checkpoint=checkpoint, settle_s=100.0)
        evaluator.wait_for_log('waiting for the bag')
        node.wait_for_log('active')
        player = start_process('rsgmamba_ros.ros.tools.player', namespace='/', bag=bag, rate=0.5,
                               topics="['/rgb/image','/depth/image']", wait_for_subscribers=1,
                               wait_for_clock_subscribers=2)
        player.wait_for_log('playing')
        if stall_s:
            node.process.send_signal(signal.SIGSTOP)
            time.sleep(stall_s)
            node.process.send_signal(signal.SIGCONT)
        assert player.process.wait(100) == 0, player.log_since()
        assert evaluator.process.wait(120) == 0, evaluator.log_since()
        assert 'Traceback' not in node.log_since() + evaluator.log_since() + player.log_since()
        assert node.stop() == 0
        return out
    return play


@pytest.fixture(scope='module')
def online(play):
    return play()


def test_online_and_offline_agree_on_every_bundle_that_both_processed(offline, online):
    result = agreement(*(list(read_bundles(folder / 'bundles.jsonl')) for folder in (offline, online)))
    assert result.bundles >= COUNT - 5
    assert result.differing == 0


def test_every_missed_image_is_counted(offline, online):
    bundles = list(read_bundles(online / 'bundles.jsonl'))
    summary = json.loads((online / 'summary.json').read_text())
    assert summary['mode'] == 'online'
    assert summary['complete']
    assert summary['expected'] == COUNT
    assert summary['missed'] == COUNT - sum(bundle['modalities']['rgb']['stamp_ns'] is not None for bundle in bundles)
    assert summary['missed'] == 0


def test_the_online_results_have_score_latency_and_report(offline, online):
    summary = json.loads((online / 'summary.json').read_text())
    reference = json.loads((offline / 'summary.json').read_text())
    assert abs(summary['miou'] - reference['miou']) < 0.02
    assert summary['wait_ms']['p50'] > 0
    assert 'Timeline' in (online / 'report.html').read_text()


def test_a_node_that_was_stalled_answers_every_image_all_the_same(play):
    summary = json.loads((play(stall_s=4.0) / 'summary.json').read_text())
    assert summary['missed'] == 0  # every queue is long enough for 20 bundles
