"""From a bag to a dataset folder that evaluation, training and labelling tools read."""
from dataclasses import replace
import json
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch

from rsgmamba_ros.cli.main import main
from rsgmamba_ros.data.bags.sources import synthetic_shots, write_shots
from rsgmamba_ros.data.folder_dataset import FolderDataset
from rsgmamba_ros.data.layouts import load_layout
from rsgmamba_ros.data.palette_images import decode_label_image, encode_label_image
from rsgmamba_ros.data.synthetic import SYNTHETIC_LABELS
from rsgmamba_ros.network.checkpoint import Checkpoint, save_checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.replay.extraction import CHOICES
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

SECONDS, RATE_HZ = 4, 10


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    found = {}
    for auxiliary in (Modality.DEPTH, Modality.THERMAL):
        torch.manual_seed(0)
        found[auxiliary] = tmp_path_factory.mktemp('checkpoint') / f'{auxiliary}.safetensors'
        network = create_network('nano', classes=len(SYNTHETIC_LABELS), auxiliary=auxiliary).eval()
        save_checkpoint(found[auxiliary], Checkpoint(network, SYNTHETIC_LABELS, PreprocessingConfig(64, 64)))
    return found


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    found = {}
    for auxiliary in (Modality.DEPTH, Modality.THERMAL):
        found[auxiliary] = tmp_path_factory.mktemp('bag') / str(auxiliary)
        shots = synthetic_shots(SECONDS * RATE_HZ, seed=3, rate_hz=RATE_HZ, height=48, width=64, auxiliary=auxiliary)
        write_shots(found[auxiliary], shots, auxiliary=auxiliary, rate_hz=RATE_HZ)
    return found


@pytest.fixture
def extracted(bags, checkpoints, tmp_path):
    def run(*options, auxiliary=Modality.DEPTH, status=0):
        assert main(['bag', 'extract', str(bags[auxiliary]), str(tmp_path / 'out'), '--checkpoint',
                     str(checkpoints[auxiliary]), *options]) == status
        return tmp_path / 'out'
    return run


@pytest.mark.parametrize('auxiliary', [Modality.DEPTH, Modality.THERMAL])
def test_the_folder_is_a_dataset_with_the_labels_of_the_network(extracted, auxiliary, capsys):
    out = extracted(auxiliary=auxiliary)
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    dataset = FolderDataset(out, load_layout(out / 'layout.yaml'))
    assert len(dataset) == SECONDS
    assert (dataset.labels, dataset.auxiliary) == (SYNTHETIC_LABELS, auxiliary)
    for sample in dataset:
        assert sample.rgb.shape == (48, 64, 3) and sample.auxiliary.shape == (48, 64)
        assert set(np.unique(sample.label_map)) <= set(range(len(SYNTHETIC_LABELS)))
    assert main(['dataset', 'check', str(out), '--dataset', str(out / 'layout.yaml')]) == 0


def test_the_images_are_those_of_the_bag(extracted, bags):
    out = extracted('--every', '2')
    shot = next(synthetic_shots(1, seed=3, rate_hz=RATE_HZ, height=48, width=64, auxiliary=Modality.DEPTH))
    name = (out / 'ImageSets/Segmentation/default.txt').read_text().split()[0]
    np.testing.assert_array_equal(cv2.imread(str(out / 'rgb' / f'{name}.png'))[..., ::-1], shot.rgb)
    np.testing.assert_array_equal(cv2.imread(str(out / 'depth' / f'{name}.png'), cv2.IMREAD_UNCHANGED), shot.auxiliary)
    assert [json.loads(line)['name'] for line in (out / 'samples.jsonl').read_text().splitlines()][0] == name


def test_labelling_tools_find_the_colours_of_the_classes(extracted):
    out = extracted('--every', '4')
    lines = (out / 'labelmap.txt').read_text().splitlines()
    assert lines[0] == '# label:color_rgb:parts:actions'
    assert lines[1:] == [f'{name}:{r},{g},{b}::' for name, (r, g, b) in
                         zip(SYNTHETIC_LABELS.names, SYNTHETIC_LABELS.palette)]
    content = next((out / 'SegmentationClass').iterdir()).read_bytes()
    indices = decode_label_image(content)
    colours = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(colours, SYNTHETIC_LABELS.colourise(indices))


@pytest.mark.parametrize(('only', 'key'), [('unreliable', 'reliability'), ('low-confidence', 'confidence')])
def test_the_worst_of_each_period_is_taken(extracted, only, key):
    results = []

    def segment(segmenter, bundle):
        results.append((bundle.stamp_ns, original(segmenter, bundle)))
        return results[-1][1]
    original, choice = Segmenter.segment, replace(CHOICES[only], below=2.0)
    with patch.object(Segmenter, 'segment', segment), patch.dict(CHOICES, {only: choice}):
        path = extracted('--every', '2', '--only', only)
    names = {json.loads(line)['name'] for line in (path / 'samples.jsonl').read_text().splitlines()}
    half = len(results) // 2
    worst = [min(part, key=lambda item: choice.score(item[1])) for part in (results[:half], results[half:])]
    assert len(results) == 2 * choice.candidates
    assert names == {f'{stamp_ns:019d}' for stamp_ns, _ in worst}


def test_nothing_to_choose_is_one_line(extracted, capsys):
    with patch.dict(CHOICES, {'unreliable': replace(CHOICES['unreliable'], below=0.0)}):
        extracted('--only', 'unreliable', status=1)
    assert 'no pair of images was chosen' in capsys.readouterr().err


def test_diverse_pairs_look_different(extracted):
    with patch('rsgmamba_ros.replay.extraction._NEW', 1.0):
        out = extracted('--only', 'diverse')
    assert len((out / 'samples.jsonl').read_text().splitlines()) == 1


def test_few_bundles_are_segmented(extracted):
    with patch.object(Segmenter, 'segment', autospec=True, side_effect=Segmenter.segment) as segment:
        extracted('--every', '2')
    assert segment.call_count == SECONDS // 2


@pytest.mark.parametrize(('options', 'message'), [(('--every', '0'), 'above 0'), ((), 'has content')])
def test_what_cannot_be_done_is_one_line(extracted, tmp_path, capsys, options, message):
    if not options:
        (tmp_path / 'out').mkdir()
        (tmp_path / 'out' / 'mine.txt').write_text('')
    extracted(*options, status=1)
    assert message in capsys.readouterr().err


def test_a_palette_image_keeps_its_indices():
    label_map = np.array([[0, 1, 2], [255, 3, 0]], np.uint8)
    np.testing.assert_array_equal(decode_label_image(encode_label_image(label_map, SYNTHETIC_LABELS)), label_map)


def test_a_bag_that_is_read_in_part_is_said_and_is_status_3(bags, checkpoints, tmp_path, capsys):
    cut = tmp_path / 'cut.mcap'
    data = next(bags[Modality.DEPTH].glob('*.mcap')).read_bytes()
    cut.write_bytes(data[:len(data) * 3 // 4])
    assert main(['bag', 'extract', str(cut), str(tmp_path / 'out'), '--checkpoint',
                 str(checkpoints[Modality.DEPTH])]) == 3
    assert 'warning: cut.mcap is cut off' in capsys.readouterr().err
    assert FolderDataset(tmp_path / 'out', load_layout(tmp_path / 'out' / 'layout.yaml'))[0]
