from dataclasses import replace

import pytest

from rsgmamba_ros.data.synthetic.dataset import SyntheticDataset
from rsgmamba_ros.training.comparison.networks import NO_FAILURES, RIVALS, table, train_and_score
from rsgmamba_ros.training.config import Phase, TrainingConfig
from rsgmamba_ros.training.samples.failures import FailureConfig
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

CONFIG = TrainingConfig(
    Modality.DEPTH, (Phase(1, 2, 32, 32),), preprocessing=PreprocessingConfig(64, 96), calibration_samples=2,
    network={'dims': [8, 8, 8, 8], 'depths': [1, 1, 1, 1], 'decoder_width': 8}, warmup_steps=1)


@pytest.fixture(scope='module')
def rooms(tmp_path_factory) -> SyntheticDataset:
    return SyntheticDataset(Modality.DEPTH, first_seed=0, rooms=1, cache=tmp_path_factory.mktemp('cache'), height=64,
                            width=96)


def test_rivals_differ_in_fusion_and_failures_alone():
    base = TrainingConfig(Modality.DEPTH, (Phase(1, 2, 32, 32),), failures=FailureConfig(0.3, 0.3))
    for rival in RIVALS.values():
        config = rival.config(base)
        assert config.failures == (base.failures if rival.with_failures else NO_FAILURES)
        assert (config.phases, config.seed, config.learning_rate) == (base.phases, base.seed, base.learning_rate)
    hard = replace(base, phases=(replace(base.phases[0], failures=FailureConfig(0.5, 0.5)),))
    assert RIVALS['sum_with_failures'].config(hard).phases == hard.phases
    assert RIVALS['sum_as_published'].config(hard).phases == base.phases
    last = Phase(1, 2, 32, 32, restart=0.5)
    taught = replace(base, phases=(*base.phases, Phase(1, 2, 32, 32, learns='reliability'),
                                   replace(last, learns='segmentation')))
    assert RIVALS['rsgmb'].config(taught).phases == taught.phases
    assert RIVALS['sum_with_failures'].config(taught).phases == (*base.phases, last)
    with_teachers = replace(base, teachers=('rgb_only',))
    assert [name for name, rival in RIVALS.items() if rival.config(with_teachers).teachers] == \
        ['rsgmb', 'rsgmb_restoring', 'sum_with_failures', 'sum_late_fusion', 'cross_scan_with_failures',
         'cross_scan_late_fusion']
    assert {rival.fusion for rival in RIVALS.values()} == {'rsgmb', 'sum', 'cross_scan', 'rgb_only', 'x_only'}


@pytest.mark.parametrize('name', ['rsgmb', 'x_only'])
def test_a_rival_is_trained_once_and_scored_under_failures(name, rooms, tmp_path):
    summary = train_and_score(name, CONFIG, rooms, rooms, tmp_path, limit=1)
    stamp = (tmp_path / name / 'checkpoint.safetensors').stat().st_mtime_ns
    assert train_and_score(name, CONFIG, rooms, rooms, tmp_path, limit=1)['miou'] == summary['miou']
    assert (tmp_path / name / 'checkpoint.safetensors').stat().st_mtime_ns == stamp
    row = table({name: summary}, CONFIG).splitlines()[-1]
    size = summary['parameters']
    assert row.startswith(f'| {name} | {size / 1e6:.2f} | {100 * summary["miou"]:.1f} |')
    # Without its only modality a network gives nothing, so there is no EMM.
    assert ('emm_avg' in summary) == (name == 'rsgmb')


def test_a_rival_that_teaches_is_trained_first_and_once(rooms, tmp_path):
    config = replace(CONFIG, teachers=('x_only',))
    train_and_score('sum_with_failures', config, rooms, rooms, tmp_path, limit=1)
    stamp = (tmp_path / 'x_only' / 'checkpoint.safetensors').stat().st_mtime_ns
    train_and_score('x_only', config, rooms, rooms, tmp_path, limit=1)
    assert (tmp_path / 'x_only' / 'checkpoint.safetensors').stat().st_mtime_ns == stamp


def test_a_rival_is_scored_with_late_fusion_of_equal_readings_too(rooms, tmp_path):
    plain = train_and_score('sum_with_failures', CONFIG, rooms, rooms, tmp_path, limit=1)
    stamp = (tmp_path / 'sum_with_failures' / 'checkpoint.safetensors').stat().st_mtime_ns
    late = train_and_score('sum_late_fusion', CONFIG, rooms, rooms, tmp_path, limit=1)
    assert (tmp_path / 'sum_with_failures' / 'checkpoint.safetensors').stat().st_mtime_ns == stamp
    assert late['miou_without'] == plain['miou_without']
    again = train_and_score('sum_with_failures', CONFIG, rooms, rooms, tmp_path, limit=1)
    assert again['corruption_mean'] == plain['corruption_mean'] != late['corruption_mean']
