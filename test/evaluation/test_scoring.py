from dataclasses import replace
import json

import cv2
import numpy as np
import pytest
import torch

from rsgmamba_ros.cli.main import main
from rsgmamba_ros.data.folder_dataset import FolderDataset
from rsgmamba_ros.data.layouts import load_layout
from rsgmamba_ros.data.synthetic.dataset import SyntheticDataset
from rsgmamba_ros.evaluation.metrics import ConfidenceCounts, ConfusionMatrix, expected_calibration_error
from rsgmamba_ros.evaluation.protocols import Condition, conditions_of
from rsgmamba_ros.evaluation.scoring import check_fit, Score, score_conditions, segment_sample, summarise, use_stretch
from rsgmamba_ros.network.checkpoint import Checkpoint, save_checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.vocabulary.errors import DatasetError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig, ThermalStretch

RGB, DEPTH, THERMAL = Modality


@pytest.fixture(scope='module')
def dataset(tmp_path_factory) -> SyntheticDataset:
    return SyntheticDataset(DEPTH, first_seed=5, rooms=2, cache=tmp_path_factory.mktemp('cache'), height=64, width=96)


@pytest.fixture(scope='module')
def checkpoint(dataset) -> Checkpoint:
    torch.manual_seed(0)
    network = create_network('nano', classes=len(dataset.labels), dims=(8, 8, 16, 16), depths=(1, 1, 1, 1),
                             decoder_width=8).eval()
    return Checkpoint(network, dataset.labels, PreprocessingConfig(64, 96))


def score(condition: Condition, iou: float, rgb: list[float], depth: list[float]) -> Score:
    """A score whose mIoU over two classes is about `iou`."""
    confusion = ConfusionMatrix(2, ignore_index=255)
    hits = round(1000 * 2 * iou / (1 + iou))
    confusion.counts[:] = [[hits, 1000 - hits], [1000 - hits, hits]]
    return Score(condition, confusion, ConfidenceCounts(ignore_index=255), {RGB: rgb, DEPTH: depth})


def test_the_summary_is_what_the_protocols_define():
    clean = score(Condition('clean'), 0.8, [0.9, 0.8], [0.9, 0.9])
    scores = [clean, score(Condition('missing', hit=(RGB,)), 0.5, [0, 0], [0.9, 0.9]),
              score(Condition('missing', hit=(DEPTH,)), 0.6, [0.9, 0.9], [0, 0])]
    # gaussian is seen in training and told from clean perfectly; impulse is held out and told by half.
    for severity, value in ((1, 0.7), (3, 0.3), (5, 0.1)):
        scores.append(score(Condition('corruptions', 'gaussian', (RGB,), severity), value, [value] * 2, [0.9] * 2))
        scores.append(score(Condition('corruptions', 'impulse', (RGB,), severity), value, [0.9, 0.1], [0.9] * 2))
    summary = summarise(scores, (RGB, DEPTH))
    assert summary['miou'] == pytest.approx(0.8, abs=2e-3)
    assert summary['emm_avg'] == pytest.approx((0.8 + 0.5 + 0.6) / 3, abs=2e-3)
    assert summary['emm_expected']['0.1'] == pytest.approx((0.81 * 0.8 + 0.09 * 1.1) / 0.99, abs=2e-3)
    assert summary['corruption_mean'] == pytest.approx((0.7 + 0.3 + 0.1) / 3, abs=2e-3)
    assert summary['corruption_mean_severity_3'] == pytest.approx(0.3, abs=2e-3)
    assert summary['auroc_seen']['rgb'] == 1
    # Of the four pairs of 0.9, 0.1 against 0.9, 0.8 two are right and one is a tie.
    assert summary['auroc_unseen']['rgb'] == pytest.approx(2.5 / 4)
    assert np.isnan(summary['auroc_seen']['depth'])
    assert 0 < summary['spearman']['rgb'] <= 1
    assert summary['clean_reliability'] == pytest.approx({'rgb': 0.85, 'depth': 0.9})


def test_the_calibration_error_of_the_reliability_is_its_gap_to_the_target_half_clean_half_corrupted():
    # Clean images should have 1, of severity 3 0.25 and of severity 5 0.03.
    scores = [score(Condition('clean'), 0.8, [0.9] * 4, [1.0] * 4),
              score(Condition('corruptions', 'gaussian', (RGB,), 3), 0.5, [0.45], [0.1]),
              score(Condition('corruptions', 'gaussian', (RGB,), 5), 0.5, [0.13], [0.1]),
              score(Condition('corruptions', 'holes', (DEPTH,), 3), 0.5, [0.1] * 2, [0.25] * 2),
              score(Condition('corruptions', 'gaussian+holes', (RGB, DEPTH), 3), 0.5, [0.9], [0.9])]
    ece = summarise(scores, (RGB, DEPTH))['reliability_ece']
    # 0.1 on the clean half; 0.2 and 0.1 on the corrupted half, each in a bin of its own.
    assert ece['rgb'] == pytest.approx(0.5 * 0.1 + 0.25 * 0.2 + 0.25 * 0.1)
    assert ece['depth'] == pytest.approx(0)


def test_without_corrupted_images_the_reliability_has_no_calibration_error():
    assert 'reliability_ece' not in summarise([score(Condition('clean'), 0.8, [0.9], [0.9])], (RGB, DEPTH))
    only_rgb = [score(Condition('clean'), 0.8, [0.9], [0.9]),
                score(Condition('corruptions', 'gaussian', (RGB,), 3), 0.5, [0.45], [0.1])]
    assert np.isnan(summarise(only_rgb, (RGB, DEPTH))['reliability_ece']['depth'])


def test_the_calibration_error_of_the_confidence_is_that_of_every_labelled_pixel(dataset, checkpoint):
    segmenter = Segmenter(checkpoint, device='cpu')
    clean, = score_conditions(segmenter, dataset, [Condition('clean')], indices=[0, 2], seed=0)
    stated, correct = [], []
    for index in (0, 2):
        sample = dataset[index]
        result = segment_sample(segmenter, sample, Condition('clean'), seed=0, index=index)
        labelled = sample.label_map != dataset.labels.ignore_index
        stated.append(result.confidence[labelled] / 255)
        correct.append(result.label_map[labelled] == sample.label_map[labelled])
    expected = expected_calibration_error(np.concatenate(stated), np.concatenate(correct))
    assert 0 < expected < 1
    assert summarise([clean], (RGB, DEPTH))['confidence_ece'] == pytest.approx(expected)


def test_scores_are_those_of_the_segmenter_and_a_missing_modality_has_reliability_zero(dataset, checkpoint):
    segmenter = Segmenter(checkpoint, device='cpu')
    scores = score_conditions(segmenter, dataset, conditions_of('missing', DEPTH, has_earlier=True), indices=[0, 2],
                              seed=0)
    labelled = 2 * 64 * 96
    assert all(item.confusion.counts.sum() == labelled for item in scores)
    without_depth = next(item for item in scores if item.condition == Condition('missing', hit=(DEPTH,)))
    assert without_depth.reliability[DEPTH] == [0, 0] and min(without_depth.reliability[RGB]) > 0


def test_a_dataset_of_other_classes_or_another_sensor_is_refused(dataset, checkpoint, tmp_path):
    segmenter = Segmenter(checkpoint, device='cpu')
    thermal = SyntheticDataset(THERMAL, first_seed=5, rooms=1, cache=tmp_path, height=64, width=96)
    with pytest.raises(DatasetError, match='the dataset has thermal'):
        check_fit(segmenter, thermal)


def test_the_command_writes_summary_tables_and_pictures(dataset, checkpoint, tmp_path, monkeypatch, capsys):
    save_checkpoint(tmp_path / 'c.safetensors', checkpoint)
    monkeypatch.setattr('rsgmamba_ros.cli.evaluate.open_dataset', lambda *_, **__: dataset)
    status = main(['evaluate', '--checkpoint', str(tmp_path / 'c.safetensors'), '--data', 'synthetic', '--limit', '2',
                   '--protocol', 'all', '--severities', '3', '--out', str(tmp_path / 'out'), '--device', 'cpu'])
    assert status == 0
    summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
    for key in ('miou', 'emm_avg', 'corruption_mean', 'auroc_seen', 'auroc_unseen', 'spearman', 'clean_reliability',
                'confidence_ece', 'reliability_ece'):
        assert key in summary
    assert set(summary['auroc_seen']) == {'rgb', 'depth'}
    assert {item['group'] for item in summary['conditions']} == {'clean', 'missing', 'random_missing', 'noisy',
                                                                 'corruptions'}
    for name in ('results.md', 'confusion.png', 'miou_by_family.png', 'reliability_by_severity.png', 'panels.png'):
        assert (tmp_path / 'out' / name).stat().st_size > 500
    assert all(0 <= item['confidence_ece'] <= 1 for item in summary['conditions'])
    printed, results = capsys.readouterr().out, (tmp_path / 'out' / 'results.md').read_text()
    for line in ('| miou |', f'| confidence_ece | {summary["confidence_ece"]:.3f} |',
                 f'| reliability_ece | rgb {summary["reliability_ece"]["rgb"]:.3f}, depth '):
        assert line in printed and line in results
    assert '| condition | mIoU | confidence ECE | reliability rgb | reliability depth |' in results


@pytest.mark.parametrize('layout', ['range', 'percentile'])
def test_the_stretch_of_a_layout_is_used_while_its_dataset_is_scored(tmp_path, dataset, layout):
    network = create_network('nano', classes=3, dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_width=8,
                             auxiliary=THERMAL).eval()
    segmenter = Segmenter(Checkpoint(network, LabelSpace(('a', 'b', 'c')), PreprocessingConfig(64, 96)), device='cpu')
    for folder, pixels in (('rgb', np.zeros((64, 96, 3), np.uint8)), ('thermal', np.zeros((64, 96), np.uint16))):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / '1.png'), pixels)
    own = load_layout('sensor_frames_thermal')
    folder = FolderDataset(tmp_path, replace(own, thermal=replace(own.thermal, stretch=ThermalStretch(layout))))
    use_stretch(segmenter, folder)
    assert segmenter.preprocessing.thermal.stretch.value == layout
    use_stretch(segmenter, dataset)
    assert segmenter.preprocessing.thermal.stretch is ThermalStretch.RANGE
