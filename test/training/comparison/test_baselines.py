from dataclasses import replace
import json
from pathlib import Path
import shutil

import pytest
import torch

from rsgmamba_ros.network.checkpoint import load_checkpoint, save_checkpoint
from rsgmamba_ros.training.comparison.baselines import BASELINES, NO_FAILURES, table, train_and_score
from rsgmamba_ros.training.config import Phase, TrainingConfig
from rsgmamba_ros.training.fingerprints import fingerprint
from rsgmamba_ros.training.samples.failures import FailureConfig
from rsgmamba_ros.training.trainer import CHECKPOINT
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

CONFIG = TrainingConfig(
    Modality.DEPTH, (Phase(1, 2, 32, 32),), preprocessing=PreprocessingConfig(64, 96), calibration_samples=2,
    network={'dims': [8, 8, 8, 8], 'depths': [1, 1, 1, 1], 'decoder_width': 8}, warmup_steps=1)


def test_baselines_differ_in_fusion_and_failures_alone():
    base = TrainingConfig(Modality.DEPTH, (Phase(1, 2, 32, 32),), failures=FailureConfig(0.3, 0.3))
    for baseline in BASELINES.values():
        config = baseline.config(base)
        assert config.failures == (base.failures if baseline.with_failures else NO_FAILURES)
        assert (config.phases, config.seed, config.learning_rate) == (base.phases, base.seed, base.learning_rate)
    hard = replace(base, phases=(replace(base.phases[0], failures=FailureConfig(0.5, 0.5)),))
    assert BASELINES['sum_with_failures'].config(hard).phases == hard.phases
    assert BASELINES['sum_as_published'].config(hard).phases == base.phases
    last = Phase(1, 2, 32, 32, restart=0.5)
    taught = replace(base, phases=(*base.phases, Phase(1, 2, 32, 32, learns='reliability'),
                                   replace(last, learns='segmentation')))
    assert BASELINES['rsgmb'].config(taught).phases == taught.phases
    assert BASELINES['sum_with_failures'].config(taught).phases == (*base.phases, last)
    with_teachers = replace(base, teachers=('rgb_only',))
    assert [name for name, baseline in BASELINES.items() if baseline.config(with_teachers).teachers] == \
        ['rsgmb', 'rsgmb_restoring', 'sum_with_failures', 'sum_late_fusion', 'cross_scan_with_failures',
         'cross_scan_late_fusion']
    assert {baseline.fusion for baseline in BASELINES.values()} == {'', 'sum', 'cross_scan', 'rgb_only', 'x_only'}


def stamp(folder: Path) -> int:
    return (folder / CHECKPOINT).stat().st_mtime_ns


def replace_weights(checkpoint: Path) -> None:
    """The same training, but with other weights, as if it was done again elsewhere."""
    other = load_checkpoint(checkpoint)
    with torch.no_grad():
        for parameter in other.network.decoder.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    save_checkpoint(checkpoint, other)


@pytest.mark.parametrize('name', ['rsgmb', 'x_only'])
def test_a_baseline_is_trained_once_and_scored_under_failures(name, rooms, tmp_path):
    summary = train_and_score(name, CONFIG, rooms, rooms, tmp_path, limit=1)
    first = stamp(tmp_path / name)
    again = train_and_score(name, CONFIG, rooms, rooms, tmp_path, limit=1)
    assert json.dumps(again) == json.dumps(summary)  # as text: NaN does not equal NaN
    assert stamp(tmp_path / name) == first
    row = table({name: summary}, CONFIG).splitlines()[-1]
    size = summary['parameters']
    assert row.startswith(f'| {name} | {size / 1e6:.2f} | {100 * summary["miou"]:.1f} |')
    # Without its only modality a network gives nothing, so there is no EMM.
    assert ('emm_avg' in summary) == (name == 'rsgmb')


@pytest.mark.parametrize('changed', [
    replace(CONFIG, seed=1), replace(CONFIG, learning_rate=0.1), replace(CONFIG, phases=(Phase(2, 2, 32, 32),)),
    replace(CONFIG, network={**CONFIG.network, 'decoder_width': 16})], ids=['seed', 'rate', 'phases', 'network'])
def test_a_baseline_of_another_configuration_is_trained_and_scored_again(changed, rooms, tmp_path):
    before = train_and_score('x_only', CONFIG, rooms, rooms, tmp_path, limit=1)
    after = train_and_score('x_only', changed, rooms, rooms, tmp_path, limit=1)
    assert after['key'] != before['key']
    assert load_checkpoint(tmp_path / 'x_only' / CHECKPOINT).info['config'] == json.loads(fingerprint(
        changed.for_fusion('x_only')))


@pytest.mark.parametrize('training, validation', [(True, False), (False, True)])
def test_a_baseline_of_other_data_is_trained_and_scored_again(training, validation, rooms, other_rooms, tmp_path):
    before = train_and_score('x_only', CONFIG, rooms, rooms, tmp_path, limit=1)
    first = stamp(tmp_path / 'x_only')
    after = train_and_score('x_only', CONFIG, other_rooms if training else rooms,
                            other_rooms if validation else rooms, tmp_path, limit=1)
    assert stamp(tmp_path / 'x_only') != first and after['key'] != before['key']


@pytest.mark.parametrize('name', ['x_only', 'sum_late_fusion'])
def test_a_replaced_checkpoint_is_scored_again(name, rooms, tmp_path):
    before = train_and_score(name, CONFIG, rooms, rooms, tmp_path, limit=1)
    folder = tmp_path / (BASELINES[name].trained_as or name)
    replace_weights(folder / CHECKPOINT)
    replaced = stamp(folder)
    after = train_and_score(name, CONFIG, rooms, rooms, tmp_path, limit=1)
    assert stamp(folder) == replaced and after['key'] != before['key'] and after['miou'] != before['miou']


def test_a_checkpoint_of_another_training_is_not_scored_as_this_one(rooms, tmp_path):
    train_and_score('x_only', CONFIG, rooms, rooms, tmp_path, limit=1)
    before = train_and_score('rgb_only', CONFIG, rooms, rooms, tmp_path, limit=1)
    shutil.copy(tmp_path / 'x_only' / CHECKPOINT, tmp_path / 'rgb_only' / CHECKPOINT)
    after = train_and_score('rgb_only', CONFIG, rooms, rooms, tmp_path, limit=1)
    assert load_checkpoint(tmp_path / 'rgb_only' / CHECKPOINT).network.config.fusion == 'rgb_only'
    assert after['miou'] == before['miou']


def test_a_baseline_that_teaches_is_trained_first_and_once(rooms, tmp_path):
    config = replace(CONFIG, teachers=('x_only',))
    train_and_score('sum_with_failures', config, rooms, rooms, tmp_path, limit=1)
    first = stamp(tmp_path / 'x_only')
    train_and_score('x_only', config, rooms, rooms, tmp_path, limit=1)
    assert stamp(tmp_path / 'x_only') == first


def test_with_another_teacher_a_baseline_is_trained_again(rooms, tmp_path):
    config = replace(CONFIG, teachers=('x_only',))
    train_and_score('sum_with_failures', config, rooms, rooms, tmp_path, limit=1)
    first = stamp(tmp_path / 'sum_with_failures')
    replace_weights(tmp_path / 'x_only' / CHECKPOINT)
    teacher = stamp(tmp_path / 'x_only')
    train_and_score('sum_with_failures', config, rooms, rooms, tmp_path, limit=1)
    assert stamp(tmp_path / 'sum_with_failures') != first and stamp(tmp_path / 'x_only') == teacher


def test_a_baseline_is_scored_with_late_fusion_of_equal_readings_too(rooms, tmp_path):
    plain = train_and_score('sum_with_failures', CONFIG, rooms, rooms, tmp_path, limit=1)
    first = stamp(tmp_path / 'sum_with_failures')
    late = train_and_score('sum_late_fusion', CONFIG, rooms, rooms, tmp_path, limit=1)
    assert stamp(tmp_path / 'sum_with_failures') == first
    assert late['miou_without'] == plain['miou_without']
    again = train_and_score('sum_with_failures', CONFIG, rooms, rooms, tmp_path, limit=1)
    assert again['corruption_mean'] == plain['corruption_mean'] != late['corruption_mean']
