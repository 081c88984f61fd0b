"""The protocol over sensors, on rooms whose camera has another look than the network's head was made for."""
from dataclasses import replace
import json

import cv2
import numpy as np
import pytest
import torch

from rsgmamba_ros.cli import evaluate as command
from rsgmamba_ros.cli.main import main
from rsgmamba_ros.data.samples import Sample
from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.evaluation.sensors import (
    FIGURES,
    ModalityFigures,
    noticed,
    over_sensors,
    PRIOR,
    PROFILE,
    score_sensor,
    sensor_names,
    SensorProtocol,
    SensorResult,
    table,
)
from rsgmamba_ros.network.checkpoint import Checkpoint, load_checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.vocabulary.errors import ConfigError, DatasetError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig
from test.pipeline.profiled_heads import with_profiled_head

RGB, DEPTH, _ = Modality
LABELS = LabelSpace(('a', 'b'))
HEIGHT, WIDTH = 64, 96


class Frames:
    """A camera's frames in memory; some know an earlier one."""

    auxiliary, digest = DEPTH, ''

    def __init__(self, count, *, labelled=False):
        generator = SceneGenerator(2, height=HEIGHT, width=WIDTH, auxiliary=DEPTH)
        scenes = [generator.render(0.5 * index) for index in range(count)]
        self.is_labelled, self.labels = labelled, LABELS
        self.samples = [Sample(scene.rgb, scene.auxiliary,
                               np.where(labelled, scene.label_map > 1, LABELS.ignore_index).astype(np.uint8))
                        for scene in scenes]
        self.read: list[int] = []

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        self.read.append(index)
        return self.samples[index]


@pytest.fixture(scope='module')
def segmenter():
    torch.manual_seed(0)
    network = create_network('nano', classes=2, dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_width=8).eval()
    checkpoint = Checkpoint(network, LABELS, PreprocessingConfig(HEIGHT, WIDTH), {})
    return Segmenter(with_profiled_head(checkpoint), device='cpu')


QUICK = SensorProtocol(severities=(3,), profile_images=6, limit=3)


@pytest.fixture(scope='module')
def scored(segmenter):
    frames = Frames(12, labelled=True)
    results, reason = score_sensor(segmenter, frames, 'camera', QUICK)
    assert reason == ''
    return frames, {result.setting: result for result in results}


def test_both_settings_score_the_same_images_and_none_that_the_profile_saw(scored):
    frames, results = scored
    assert set(results) == {PRIOR, PROFILE}
    assert [(result.images, result.profile_images) for result in results.values()] == [(3, 0), (3, 6)]
    assert sorted(set(frames.read[6:])) == [6, 8, 11]


def test_a_profile_tells_corrupted_images_from_clean_ones_where_the_prior_cannot(scored):
    _, results = scored
    prior, profile = (results[setting].figures[DEPTH] for setting in (PRIOR, PROFILE))
    assert prior.auroc == 0.5  # this head's prior looks at nothing
    assert profile.auroc > 0.6
    assert set(profile.auroc_by_family) == set(prior.auroc_by_family)
    assert all(0 <= value <= 1 for value in profile.auroc_by_family.values())


def test_labels_give_the_miou_with_both_images_and_with_one(scored):
    assert set(scored[1][PRIOR].miou) == {'both', 'without_rgb', 'without_depth'}
    assert 0 <= scored[1][PRIOR].confidence_ece <= 1


def test_the_segmenter_is_left_without_a_profile(scored, segmenter):
    assert segmenter.sensor_profile == ''


def test_a_sensor_without_enough_images_is_scored_by_the_prior_alone(segmenter):
    results, reason = score_sensor(segmenter, Frames(4), 'camera', QUICK)
    assert [(result.setting, result.images, dict(result.miou)) for result in results] == [(PRIOR, 3, {})]
    assert 'a profile needs 5 images' in reason


def test_a_refused_profile_is_a_reason_and_its_images_are_held_back_all_the_same(segmenter):
    frames = Frames(12)
    frames.samples[:6] = [replace(sample, rgb=np.zeros_like(sample.rgb)) for sample in frames.samples[:6]]
    results, reason = score_sensor(segmenter, frames, 'camera', replace(QUICK, limit=0))
    assert 'covered or dark' in reason
    assert [(result.setting, result.images) for result in results] == [(PRIOR, 6)]


def result(sensor, setting, clean, alarms):
    figures = ModalityFigures(clean, clean - 0.1, alarms, 0.9, float('nan'), 0.1, 0.8)
    return SensorResult(sensor, setting, 5, 0, {RGB: figures, DEPTH: figures}, {}, float('nan'))


def test_over_sensors_are_the_mean_and_the_worst_of_each_figure():
    results = [result('a', PRIOR, 0.9, 0.0), result('b', PRIOR, 0.5, 0.4), result('a', PROFILE, 0.95, 0.0)]
    summary = over_sensors(results)
    assert summary[PRIOR]['depth']['clean'] == {'mean': pytest.approx(0.7), 'worst': 0.5}
    assert summary[PRIOR]['rgb']['false_alarms'] == {'mean': pytest.approx(0.2), 'worst': 0.4}
    assert summary[PROFILE]['rgb']['clean']['mean'] == 0.95
    assert np.isnan(summary[PRIOR]['rgb']['spearman']['mean'])
    lines = table(results).splitlines()
    assert len(lines) == 2 + 3 + 4
    assert len({line.count('|') for line in lines}) == 1
    assert '| **worst** | prior |' in lines[6]


def test_folders_get_names_that_tell_them_apart():
    assert sensor_names(['data/kinect', 'data/femto/']) == ['kinect', 'femto']
    assert sensor_names(['one/kinect', 'two/kinect']) == ['one/kinect', 'two/kinect']
    for folders in ([], ['data/kinect', 'data/kinect/']):
        with pytest.raises(DatasetError):
            sensor_names(folders)


def test_the_quoted_severity_must_be_scored():
    with pytest.raises(ConfigError, match='severity 3'):
        SensorProtocol(severities=(1, 5))


@pytest.fixture
def folder(tmp_path):
    generator = SceneGenerator(2, height=HEIGHT, width=WIDTH, auxiliary=DEPTH)
    for name in ('rgb', 'depth'):
        (tmp_path / 'camera' / name).mkdir(parents=True)
    for index in range(10):
        scene = generator.render(0.5 * index)
        cv2.imwrite(str(tmp_path / 'camera' / 'rgb' / f'{index}.png'), scene.rgb[..., ::-1])
        millimetres = np.nan_to_num(scene.auxiliary * 1000).astype(np.uint16)
        cv2.imwrite(str(tmp_path / 'camera' / 'depth' / f'{index}.png'), millimetres)
    return tmp_path / 'camera'


def test_the_command_scores_folders_of_any_camera_and_writes_what_it_prints(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, 'Segmenter', lambda path, **options: Segmenter(
        with_profiled_head(load_checkpoint(path)), **options))
    out = tmp_path / 'out'
    assert main(['evaluate', '--protocol', 'sensors', '--checkpoint', 'nano_synthetic_depth', '--severities', '3',
                 '--profile-images', '5', '--limit', '2', '--device', 'cpu', '--out', str(out), str(folder)]) == 0
    printed = capsys.readouterr().out
    assert printed in (out / 'sensors.md').read_text()
    content = json.loads((out / 'sensors.json').read_text())
    assert [(item['sensor'], item['setting'], item['profile_images']) for item in content['sensors']] == [
        ('camera', 'prior', 0), ('camera', 'profile', 5)]
    assert set(FIGURES) <= set(content['sensors'][0]['modalities']['depth'])
    assert set(content['over_sensors']) == {'prior', 'profile'}


@pytest.mark.parametrize('arguments', [['folder'], ['--protocol', 'clean']])
def test_other_protocols_want_one_dataset(arguments, capsys):
    assert main(['evaluate', '--checkpoint', 'nano_synthetic_depth', '--device', 'cpu', *arguments]) == 1
    assert '--data' in capsys.readouterr().err


@pytest.mark.parametrize(('reliability', 'share'), [
    ([0.9] * 12, 0.0), ([0.2] * 12, 1.0), ([0.9, 0.9, 0.2], 1.0),
    ([0.2] + [0.9] * 6, 1 / 3),  # three stretches of five; the first one has the low image
])
def test_a_failure_is_noticed_if_one_of_five_images_loses_its_reliability(reliability, share):
    assert noticed(reliability) == pytest.approx(share)
