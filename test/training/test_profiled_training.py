"""A training whose reliability head is fitted to many sensors at its end."""
from pathlib import Path

import pytest

from rsgmamba_ros.data.synthetic.dataset import SyntheticDataset
from rsgmamba_ros.network.checkpoint import load_checkpoint
from rsgmamba_ros.training.config import Phase, TrainingConfig
from rsgmamba_ros.training.reliability.evidence_set import EvidenceConfig
from rsgmamba_ros.training.reliability.head_fit import HeadFitConfig
from rsgmamba_ros.training.trainer import CHECKPOINT, Trainer
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import DepthScaling, PreprocessingConfig


def test_the_head_is_fitted_and_calibrated_at_the_end_and_the_scaling_reaches_the_network(tmp_path):
    rooms = SyntheticDataset(Modality.DEPTH, first_seed=0, rooms=6, cache=tmp_path / 'cache', height=64, width=96)
    config = TrainingConfig(
        auxiliary=Modality.DEPTH, preset='lite', threads=1, warmup_steps=1, calibration_samples=2, sensors=0.5,
        phases=(Phase(steps=2, batch_size=2, height=64, width=96, learns='segmentation'),),
        preprocessing=PreprocessingConfig(height=64, width=96, keep_aspect=True, depth=DepthScaling(0.3, 9.0)),
        evidence=EvidenceConfig(simulated=8, references=4, queries=2), head=HeadFitConfig(epochs=2, references=(2, 4)))
    Trainer(config, rooms, rooms, tmp_path / 'run').run()

    checkpoint = load_checkpoint(tmp_path / 'run' / CHECKPOINT)
    assert checkpoint.network.config.log_range == pytest.approx(DepthScaling(0.3, 9.0).log_range)
    assert set(checkpoint.calibration) == {'rgb', 'depth'}
    assert checkpoint.network.reliability_head.normality.within.max() > 1  # fitted, not as it was made
    assert len(list((tmp_path / 'run' / 'evidence').glob('simulated_*.npz'))) == 8


def test_a_phase_for_the_other_head_is_refused():
    with pytest.raises(ConfigError, match='fitted at the end'):
        TrainingConfig(auxiliary=Modality.DEPTH, preset='lite',
                       phases=(Phase(steps=1, batch_size=1, height=64, width=96, learns='reliability'),))


def test_the_shipped_configurations_name_sensors_that_are_kept_out():
    text = (Path(__file__).parents[2] / 'config' / 'train_nyuv2_lite.yaml').read_text(encoding='utf-8')
    assert not any(name in text for name in ('d4xx_desk_t265', 'kinect2_sunrgbd', 'synth_replica', 'unregistered'))
