"""The replay of a bag with a network, from end to end. The network has random weights and a small input."""
from collections import Counter
from contextlib import nullcontext
import json
from pathlib import Path
import re
import shutil
import subprocess
import sys
from unittest.mock import patch

import cv2
from mcap.reader import make_reader
import numpy as np
import pytest
import torch

from rsgmamba_ros.cli.main import main
from rsgmamba_ros.data.bags import writer as bag_writer
from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.sources import START_NS, synthetic_shots, write_shots
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.data.messages.definitions import typestore
from rsgmamba_ros.data.synthetic import SYNTHETIC_LABELS
from rsgmamba_ros.network.checkpoint import Checkpoint, save_checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.pipeline.node_settings import NodeSettings
from rsgmamba_ros.replay.observers.bundle_log import label_map_digest
from rsgmamba_ros.replay.report import results as replay_results
from rsgmamba_ros.replay.session import ReplayOptions, ReplaySession
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

RGB, DEPTH = Modality.RGB, Modality.DEPTH
COUNT, RATE_HZ, SIZE = 20, 10, (48, 64)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('checkpoint') / 'nano.safetensors'
    network = create_network('nano', classes=len(SYNTHETIC_LABELS)).eval()
    save_checkpoint(path, Checkpoint(network, SYNTHETIC_LABELS, PreprocessingConfig(64, 64)))
    return path


@pytest.fixture(scope='module')
def shots():
    return list(synthetic_shots(COUNT, seed=3, rate_hz=RATE_HZ, height=SIZE[0], width=SIZE[1], auxiliary=DEPTH))


@pytest.fixture(scope='module')
def bag(tmp_path_factory, shots):
    path = tmp_path_factory.mktemp('replay') / 'bag'
    write_shots(path, shots, auxiliary=DEPTH, rate_hz=RATE_HZ)
    return path


def replay(bag, out, checkpoint=None, *, should_stop=lambda: False, report=False, **options):
    with BagReader(bag) as reader, nullcontext() if report else patch.object(replay_results, 'build_report'):
        settings = NodeSettings(device='cpu')
        session = ReplaySession(ReplayOptions(bag, out, checkpoint=checkpoint, settings=settings, **options), reader)
        return session.run(should_stop=should_stop)


def bundles(out):
    return [json.loads(line) for line in (out / 'bundles.jsonl').read_text().splitlines()]


@pytest.fixture(scope='module')
def done(tmp_path_factory, bag, checkpoint):
    """The results of one clean replay."""
    out = tmp_path_factory.mktemp('done')
    replay(bag, out, checkpoint, report=True)
    return out


def test_the_number_of_threads_is_that_of_the_command_line(bag, checkpoint, tmp_path):
    before = torch.get_num_threads()
    try:
        with patch('rsgmamba_ros.replay.session.ReplaySession.run', lambda session, **_: {
                'miou': None, 'bundles': 0, 'missed': 0, 'expected': 0, 'complete': True, 'skipped': {},
                'failures': {}, 'advice': {}, 'segmented': 0, 'score': None,
                'bag': {'damage': [], 'is_whole': True, 'lost': 0}}):
            assert main(['replay', str(bag), '--checkpoint', str(checkpoint), '--out', str(tmp_path), '--device', 'cpu',
                         '--threads', str(before + 1)]) == 0
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_two_runs_write_the_same_decisions_and_label_maps(done, bag, checkpoint, tmp_path):
    replay(bag, tmp_path, checkpoint)
    assert (tmp_path / 'bundles.jsonl').read_bytes() == (done / 'bundles.jsonl').read_bytes()
    assert all(len(bundle['label_map']) == 16 for bundle in bundles(done))


def test_runs_with_random_faults_repeat_with_their_seed(bag, checkpoint, tmp_path):
    for name, seed in (('first', 1), ('second', 1), ('other', 2)):
        replay(bag, tmp_path / name, checkpoint, faults='depth:drop:0.5@0- rgb:gaussian:3@0-', seed=seed)
    first, second, other = ((tmp_path / name / 'bundles.jsonl').read_bytes() for name in ('first', 'second', 'other'))
    assert first == second != other


def test_every_leading_image_is_segmented_and_scored(done):
    summary = json.loads((done / 'summary.json').read_text())
    assert (summary['bundles'], summary['expected'], summary['missed']) == (COUNT, COUNT, 0)
    assert summary['score']['labelled_bundles'] == COUNT
    assert 0 < summary['miou'] < 1
    assert set(summary['score']['classes']) == set(SYNTHETIC_LABELS.names)
    assert summary['modalities']['depth']['availability'] == 1
    assert summary['modalities']['rgb']['reliability']['mean'] > 0
    assert summary['skipped'] == summary['failures'] == {}


def test_the_summary_says_what_it_was_made_of(done, checkpoint):
    summary = json.loads((done / 'summary.json').read_text())
    assert (summary['schema'], summary['schema_version'], summary['complete']) == ('rsgmamba_ros/replay', 1, True)
    assert len(summary['checkpoint']['sha256']) == len(summary['bag']['fingerprint']) == 64
    assert len(summary['config_sha256']) == 64
    assert {'rosbags', 'torch', 'numpy'} <= set(summary['software'])
    assert summary['machine']['cores'] >= 1
    assert {topic['shows'] for topic in summary['bag']['topics']} == {'rgb', 'depth', 'labels'}


def test_the_report_is_one_file_with_pictures(done):
    text = (done / 'report.html').read_text()
    for wanted in ('Timeline', 'Worst images', 'wrong pixels', 'Skew', 'data:image/jpeg;base64,', '<svg', 'mIoU'):
        assert wanted in text
    assert 'src="http' not in text
    assert '<script' not in text


def test_the_bag_of_results_holds_the_label_maps_and_opens_in_mcap_tools(done):
    with BagReader(done / 'results') as results:
        label_maps = list(results.label_maps('/segmentation'))
    assert [label_map_digest(image.decode()) for image in label_maps] == [b['label_map'] for b in bundles(done)]
    assert [image.stamp_ns for image in label_maps] == [bundle['stamp_ns'] for bundle in bundles(done)]
    with next((done / 'results').glob('*.mcap')).open('rb') as stream:
        reader = make_reader(stream)
        summary = reader.get_summary()
        messages = {(schema.name, channel.topic): message.data for schema, channel, message in reader.iter_messages()}
    assert {schema.encoding for schema in summary.schemas.values()} == {'ros2msg'}
    assert summary.chunk_indexes
    assert set(messages) == {
        ('sensor_msgs/msg/Image', '/segmentation'),
        ('sensor_msgs/msg/CompressedImage', '/segmentation/overlay/compressed'),
        ('rsgmamba_ros/msg/Reliability', '/segmentation/reliability'),
        ('diagnostic_msgs/msg/DiagnosticArray', '/diagnostics')}
    reliability = typestore().deserialize_cdr(messages['rsgmamba_ros/msg/Reliability', '/segmentation/reliability'],
                                              'rsgmamba_ros/msg/Reliability')
    last = bundles(done)[-1]['modalities']['depth']
    assert reliability.modalities[1].modality == 'depth'
    assert abs(reliability.modalities[1].reliability - last['reliability']) < 1e-6


@pytest.mark.parametrize(('fault', 'modality', 'kind'), [
    ('depth:missing@0.5-1.5', 'depth', 'silent'), ('depth:frozen@0.5-1.5', 'depth', 'unused'),
    ('rgb:gaussian:5@0.5-1.5', 'rgb', 'unreliable')])
def test_a_fault_of_an_image_is_in_the_report_where_it_was_put(bag, checkpoint, tmp_path, fault, modality, kind):
    summary = replay(bag, tmp_path, checkpoint, report=True, faults=fault)
    found = [(item['start_s'], item['end_s']) for item in summary['episodes']
             if (item['modality'], item['kind']) == (modality, kind)]
    assert len(found) == 1, summary['episodes']
    assert abs(found[0][0] - 0.5) <= 2 / RATE_HZ + 1e-6
    assert abs(found[0][1] - 1.5) <= 2 / RATE_HZ + 1e-6
    text = (tmp_path / 'report.html').read_text()
    row = next(line for line in re.findall('<tr>.*?</tr>', text) if f'<td>{fault}</td>' in line)
    assert f'<td>{kind} {found[0][0]:.2f} s to {found[0][1]:.2f} s' in row or f'; {kind} {found[0][0]:.2f} s' in row


def test_without_rgb_the_network_goes_on_from_depth(bag, checkpoint, tmp_path):
    summary = replay(bag, tmp_path, checkpoint, faults='rgb:missing@0.5-1.5')
    leaders = Counter(bundle['leader'] for bundle in bundles(tmp_path))
    assert leaders['depth'] >= 6
    assert summary['missed'] == 0
    assert summary['score']['labelled_bundles'] >= leaders.total() - 2  # depth's stamps are 2 ms from the labels'


def test_a_stopped_replay_leaves_a_valid_partial_report(bag, checkpoint, tmp_path):
    asked = iter([False] * 21 + [True])
    summary = replay(bag, tmp_path, checkpoint, should_stop=lambda: next(asked), report=True)
    assert (summary['complete'], summary['ended_by']) == (False, 'interrupted')
    assert 8 <= summary['bundles'] == len(bundles(tmp_path)) <= 12
    assert 'This report is partial' in (tmp_path / 'report.html').read_text()
    with BagReader(tmp_path / 'results') as results:
        assert results.damage == []
        assert len(list(results.label_maps('/segmentation'))) == summary['bundles']


INTERRUPTED = """
import os, signal, sys
from rsgmamba_ros.cli.main import main
from rsgmamba_ros.replay.offline import OfflineReplay
publish = OfflineReplay._publish
def press_ctrl_c(self, result, label_map):
    publish(self, result, label_map)
    if result.index == 5:
        os.kill(os.getpid(), signal.SIGINT)
OfflineReplay._publish = press_ctrl_c
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_ends_the_command_with_a_report_and_status_130(bag, checkpoint, tmp_path):
    done = subprocess.run([sys.executable, '-c', INTERRUPTED, 'replay', bag, '--checkpoint', checkpoint, '--out',
                           tmp_path, '--device', 'cpu'], text=True, capture_output=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 130
    assert 'stopping' in done.stderr
    assert 'Traceback' not in done.stderr
    assert '%|' in done.stderr  # the progress bar
    assert json.loads((tmp_path / 'summary.json').read_text())['ended_by'] == 'interrupted'


WITHOUT_TORCH = """
import sys
from rsgmamba_ros.cli.main import main
status = main(sys.argv[1:])
sys.exit(status or ('torch' in sys.modules and 'torch was imported') or 0)
"""


def test_a_sync_only_replay_decides_the_same_without_torch(done, bag, tmp_path):
    subprocess.run([sys.executable, '-c', WITHOUT_TORCH, 'replay', bag, '--sync-only', '--out', tmp_path], check=True,
                   cwd=Path(__file__).parents[2])

    def decisions(out):
        return [(b['stamp_ns'], b['released_ns'], {name: (m['presence'], m['stamp_ns'], m['skew_s'])
                                                   for name, m in b['modalities'].items()}) for b in bundles(out)]
    assert decisions(tmp_path) == decisions(done)


def test_labels_come_from_a_folder_by_stamp_or_number(bag, done, shots, checkpoint, tmp_path):
    expected = json.loads((done / 'summary.json').read_text())['miou']
    for folder, name in (('stamps', lambda index: f'{START_NS + index * 100_000_000}'), ('numbers', '{:06}'.format)):
        (tmp_path / folder).mkdir()
        for index, shot in enumerate(shots):
            cv2.imwrite(str(tmp_path / folder / f'{name(index)}.png'), shot.label_map)
        summary = replay(bag, tmp_path / f'{folder}_out', checkpoint, labels_folder=tmp_path / folder)
        assert summary['miou'] == expected
        assert 'labels' not in {topic['shows'] for topic in summary['bag']['topics']}


def test_results_are_not_overwritten_unasked(done, bag, checkpoint, capsys):
    assert main(['replay', str(bag), '--checkpoint', str(checkpoint), '--out', str(done)]) == 1
    assert 'holds results already' in capsys.readouterr().err


# What can be wrong with a bag


def write(path, *, rgb='rgb8', depth='16UC1', label_size=SIZE, stamps=None):
    """A bag of ten shots with one thing wrong."""
    rng = np.random.default_rng(0)
    arrays = {'rgb8': lambda: rng.integers(0, 256, (*SIZE, 3), np.uint8),
              '16UC1': lambda: rng.integers(500, 5000, SIZE, np.uint16), '32FC1': lambda: np.ones(SIZE, np.float32),
              'mono8': lambda: np.zeros(SIZE, np.uint8)}
    with BagWriter(path) as bag:
        for index in range(10):
            received_ns = START_NS + index * 100_000_000
            stamp_ns = received_ns if stamps is None else stamps(index)
            header = {'stamp_ns': stamp_ns, 'received_ns': received_ns}
            if rgb == 'jpeg':
                data = cv2.imencode('.jpg', arrays['rgb8']())[1].tobytes()
                data = data[:len(data) // 2] if index % 2 else data
                bag.write_compressed_image('/rgb', data, format='jpeg', **header)
            else:
                bag.write_image('/rgb', arrays[rgb](), encoding=rgb, **header)
            bag.write_image('/depth', arrays[depth](), encoding=depth, **header)
            bag.write_image('/labels', np.zeros(label_size, np.uint8), encoding='mono8', **header)
    return path


def test_undecodable_images_are_skipped_and_counted(checkpoint, tmp_path):
    summary = replay(write(tmp_path / 'bag', rgb='jpeg'), tmp_path / 'out', checkpoint, report=True)
    assert list(summary['skipped'].values()) == [5]
    assert 'cut off' in next(iter(summary['skipped']))
    assert summary['expected'] == 5
    assert 'cut off' in (tmp_path / 'out' / 'report.html').read_text()


def test_images_of_a_wrong_type_are_one_clear_error_with_the_rest_written(checkpoint, tmp_path):
    bag = write(tmp_path / 'bag', depth='mono8')
    topics = {RGB: 'none', DEPTH: '/depth'}
    with pytest.raises(BagError, match=r"no bundle came of .*10 x /depth: depth image has encoding 'mono8'"):
        replay(bag, tmp_path / 'out', checkpoint, report=True, topics=topics)
    assert json.loads((tmp_path / 'out' / 'summary.json').read_text())['bundles'] == 0
    assert (tmp_path / 'out' / 'report.html').stat().st_size > 1000


def test_label_images_of_another_size_are_counted_and_the_rest_goes_on(checkpoint, tmp_path):
    summary = replay(write(tmp_path / 'bag', label_size=(24, 32)), tmp_path / 'out', checkpoint)
    assert summary['segmented'] == 10
    assert summary['miou'] is None
    assert summary['score']['unlabelled'] == {'label image is 24x32, label map 48x64': 10}


def test_stamps_that_jump_back_start_afresh_and_lose_nothing(checkpoint, tmp_path):
    def stamps(index):
        return START_NS + index % 5 * 100_000_000
    summary = replay(write(tmp_path / 'bag', stamps=stamps), tmp_path / 'out', checkpoint)
    assert summary['segmented'] == 10
    assert summary['missed'] == 0
    assert summary['synchroniser']['reset'] == 1


def test_a_cut_off_bag_is_replayed_to_its_end_and_the_damage_is_said(checkpoint, tmp_path):
    rng = np.random.default_rng(0)
    with BagWriter(tmp_path / 'bag') as writer:  # 60 images of 0.1 MB: several chunks of 1 MB
        for index in range(60):
            received_ns = START_NS + index * 100_000_000
            writer.write_image('/rgb', rng.integers(0, 256, (160, 200, 3), np.uint8), encoding='rgb8',
                               stamp_ns=received_ns, received_ns=received_ns)
    path = next((tmp_path / 'bag').glob('*.mcap'))
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    summary = replay(tmp_path / 'bag', tmp_path / 'out', checkpoint, report=True, topics={DEPTH: 'none'})
    assert summary['score']['unlabelled'] == {}  # there is no ground truth to be missed
    assert 10 <= summary['segmented'] <= 30
    assert 'cut off' in ' '.join(summary['bag']['damage'])
    assert summary['segmented'] + summary['bag']['lost'] == 60
    assert 'cut off' in (tmp_path / 'out' / 'report.html').read_text()


@pytest.mark.parametrize('arguments', [
    ['--rgb-topic', '/nothing'], ['--rgb-topic', '/labels/image', '--labels-topic', '/labels/image'],
    ['--inject', 'rgb:fog:9@1-2'], ['--labels-dir', '/nowhere'], ['--params-file', '/nowhere'],
    ['--checkpoint', '/nowhere']])
def test_a_bad_argument_is_one_line_and_status_1(bag, checkpoint, tmp_path, capsys, arguments):
    command = ['replay', str(bag), '--checkpoint', str(checkpoint), '--out', str(tmp_path / 'out'), *arguments]
    assert main(command) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert [line for line in error if line.startswith('error: ')] == error[-1:]
    assert not (tmp_path / 'out' / 'summary.json').exists()


def test_restore_repairs_corrupted_images_before_they_are_segmented(bag, tmp_path):
    command = ['replay', str(bag), '--checkpoint', 'nano_synthetic_depth', '--inject', 'rgb:impulse:5@0-0.5']
    for name, flags in (('plain', []), ('restored', ['--restore'])):
        assert main([*command, '--no-results-bag', '--out', str(tmp_path / name), *flags]) == 0
    plain, restored = (bundles(tmp_path / name) for name in ('plain', 'restored'))
    assert 'restored_' not in json.dumps(plain)
    assert 'restored_' in json.dumps(restored)


def test_a_full_disk_ends_the_replay_and_what_was_written_is_readable(bag, checkpoint, tmp_path):
    free = iter([10**9] + [10**7] * 100)
    usage = patch.object(bag_writer.shutil, 'disk_usage', lambda path: type('Usage', (), {'free': next(free)}))
    with usage, patch.object(bag_writer, '_CHECK_INTERVAL', 20_000), pytest.raises(BagError, match='is full'):
        replay(bag, tmp_path, checkpoint)
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert not summary['complete']
    assert 'is full' in summary['ended_by']
    assert 1 <= summary['bundles'] == len(bundles(tmp_path)) < COUNT
    with BagReader(tmp_path / 'results') as results:
        assert results.damage == []
        assert len(list(results.label_maps('/segmentation'))) >= summary['bundles']


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='peak memory is read from /proc, which Linux has')
def test_memory_does_not_grow_with_the_bag(tmp_path):
    """Peak memory of a sync-only replay of a bag and of one five times as long, each in its own process."""
    images = {'/rgb': ((480, 640, 3), np.uint8, 'rgb8'), '/depth': ((480, 640), np.uint16, '16UC1')}
    peaks = []
    for count in (20, 100):
        with BagWriter(tmp_path / f'bag_{count}') as writer:
            for index in range(count):
                received_ns = START_NS + index * 33_000_000
                for topic, (shape, dtype, encoding) in images.items():
                    writer.write_image(topic, np.zeros(shape, dtype), encoding=encoding, stamp_ns=received_ns,
                                       received_ns=received_ns)
        # ru_maxrss would count the process that starts this one, too.
        script = ('import sys; from rsgmamba_ros.cli.main import main; main(sys.argv[1:]); '
                  'print("peak", open("/proc/self/status").read().split("VmHWM:")[1].split()[0])')
        command = ['replay', tmp_path / f'bag_{count}', '--sync-only', '--out', tmp_path / f'out_{count}']
        done = subprocess.run([sys.executable, '-c', script, *command], check=True, text=True, capture_output=True,
                              cwd=Path(__file__).parents[2])
        peaks.append(int(done.stdout.split('peak')[1]) / 1024)
        shutil.rmtree(tmp_path / f'bag_{count}')
    assert max(peaks) < 400
    assert peaks[1] - peaks[0] < 20  # MiB; the longer bag has 115 MiB more
