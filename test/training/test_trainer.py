from dataclasses import replace

import numpy as np
import pytest
import torch

from rsgmamba_ros.data.samples import AugmentationConfig, Sample
from rsgmamba_ros.network.checkpoint import load_checkpoint
from rsgmamba_ros.network.fusion.contract import FusionConfig
from rsgmamba_ros.training.config import Phase, TrainingConfig
from rsgmamba_ros.training.samples.batches import training_batches
from rsgmamba_ros.training.samples.failures import FailureConfig
from rsgmamba_ros.training.trainer import Trainer
from rsgmamba_ros.training.training_log import read_rows
from rsgmamba_ros.training.weights.initial_weights import is_gate
from rsgmamba_ros.vocabulary.errors import CheckpointError, ConfigError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig


class Squares:
    """Bright near squares before a dark far wall: a task that a few steps learn something of."""

    labels = LabelSpace(('wall', 'square'))
    auxiliary = Modality.DEPTH
    is_labelled = True
    digest = 'squares'

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        label_map = np.zeros((48, 64), np.uint8)
        top, left = rng.integers(0, 24, 2)
        label_map[top:top + 20, left:left + 20] = 1
        rgb = np.where(label_map[..., None] > 0, rng.integers(150, 255, 3), rng.integers(0, 90, 3)).astype(np.uint8)
        return Sample(rgb, np.where(label_map > 0, 1.5, 4.0).astype(np.float32), label_map, f'squares {index}')


CONFIG = TrainingConfig(
    Modality.DEPTH, (Phase(4, 2, 32, 32), Phase(2, 2, 32, 64)), preprocessing=PreprocessingConfig(48, 64),
    network={'dims': [8, 8, 8, 8], 'depths': [1, 1, 1, 1], 'decoder_width': 8}, warmup_steps=1,
    validate_every=3, save_every=2, log_every=1, calibration_samples=3, device='cpu',
    augmentation=AugmentationConfig(min_scale=0.7, max_scale=1.2))


def train(folder, config: TrainingConfig = CONFIG, *, until: int | None = None) -> Trainer:
    trainer = Trainer(config, Squares(), Squares(), folder)
    trainer.run(until=until)
    return trainer


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {**trainer.network.state_dict(), **{f'average.{name}': value for name, value
                                               in trainer.average.network.state_dict().items()}}


def test_a_killed_training_goes_on_bit_for_bit(tmp_path):
    whole = train(tmp_path / 'whole')
    # Killed after step 5: the state of step 4 is on disk, the log has a row that did not survive.
    train(tmp_path / 'killed', until=5)
    resumed = train(tmp_path / 'killed')
    first, second = weights(whole), weights(resumed)
    assert all(torch.equal(first[name], second[name]) for name in first)
    for name in ('train', 'validation'):
        logs = [read_rows(tmp_path / run / f'{name}.csv') for run in ('whole', 'killed')]
        assert logs[0] == logs[1]


def test_a_finished_training_leaves_checkpoint_curves_and_calibration(tmp_path):
    trainer = train(tmp_path)
    checkpoint = load_checkpoint(tmp_path / 'checkpoint.safetensors')
    assert checkpoint.labels == Squares.labels and checkpoint.auxiliary is Modality.DEPTH
    assert set(checkpoint.calibration) == {'rgb', 'depth'}
    assert checkpoint.info['steps'] == CONFIG.steps == trainer.step
    assert (tmp_path / 'curves.png').stat().st_size > 1000
    assert read_rows(tmp_path / 'train.csv')['step'] == [1, 2, 3, 4, 5, 6]


def test_the_state_of_another_configuration_is_refused(tmp_path):
    train(tmp_path, until=2)
    with pytest.raises(CheckpointError, match='another configuration'):
        train(tmp_path, replace(CONFIG, seed=7))


def test_the_loss_falls(tmp_path):
    config = replace(CONFIG, phases=(Phase(30, 4, 32, 64),), learning_rate=5e-3, validate_every=30, save_every=100)
    train(tmp_path, config)
    loss = read_rows(tmp_path / 'train.csv')['loss_labels']
    assert np.mean(loss[-5:]) < 0.8 * np.mean(loss[:5])


def test_a_single_modality_baseline_is_given_only_its_modality(tmp_path):
    config = replace(CONFIG, fusion='rgb_only')
    batch = next(training_batches(Squares(), config, first_step=0))
    assert batch.available.tolist() == [[True, False]] * 2
    train(tmp_path, config)
    assert set(load_checkpoint(tmp_path / 'checkpoint.safetensors').calibration) <= {'rgb'}


def test_batches_do_not_depend_on_workers_and_processes_share_them_out(tmp_path):
    alone = [next(training_batches(Squares(), replace(CONFIG, workers=workers), first_step=3)) for workers in (0, 2)]
    assert torch.equal(alone[0].images, alone[1].images)
    parts = [next(training_batches(Squares(), CONFIG, first_step=3, rank=rank, processes=2)) for rank in (0, 1)]
    assert torch.equal(torch.cat([part.images for part in parts]), alone[0].images)


def test_every_sample_is_seen_once_more_from_one_modality_alone():
    batch = next(training_batches(Squares(), replace(CONFIG, failures=FailureConfig(0.0, 0.5, alone=1)),
                                  first_step=0))
    assert batch.image_indices.tolist() == [0, 0, 1, 1] and len(batch.images) == 2
    assert batch.available[::2].all() and (batch.available[1::2].sum(1) == 1).all()
    assert torch.equal(batch.targets.label_map[0], batch.targets.label_map[1])


def test_alone_is_the_modality_that_did_not_fail():
    batches = training_batches(Squares(), replace(CONFIG, failures=FailureConfig(0.0, 1.0, both=0.0, alone=1)),
                               first_step=0)
    for batch in batches:
        reliability, alone = batch.targets.reliability[1::2], batch.available[1::2]
        assert torch.equal(reliability[alone], reliability.max(1).values)
    assert (reliability.min() < 1).all()


def test_a_sample_may_be_seen_from_each_modality_alone():
    failures = [FailureConfig(0.0, share, both=0.0, alone=2) for share in (0.0, 1.0)]
    clean, corrupted = (next(training_batches(Squares(), replace(CONFIG, failures=failure), first_step=0))
                     for failure in failures)
    assert clean.image_indices.tolist() == [0, 0, 0, 1, 1, 1] and clean.available[::3].all()
    assert (clean.available[1::3] ^ clean.available[2::3]).all()
    # Of a corrupted pair only the modality that did not fail, twice.
    assert torch.equal(corrupted.available[1::3], corrupted.available[2::3])
    assert (corrupted.available[1::3].sum(1) == 1).all()


def test_a_phase_may_have_failures_of_its_own():
    clean, corrupted = FailureConfig(0.0, 0.0), FailureConfig(0.0, 1.0, both=1.0)
    config = replace(CONFIG, phases=(Phase(1, 8, 32, 32, failures=clean), Phase(1, 8, 32, 32)), failures=corrupted)
    first, second = training_batches(Squares(), config, first_step=0)
    assert (first.targets.reliability == 1).all() and (second.targets.reliability < 1).any()


def test_a_network_of_one_modality_sees_no_sample_twice():
    batch = next(training_batches(Squares(), replace(CONFIG, fusion='x_only', failures=FailureConfig(alone=1)),
                                  first_step=0))
    assert batch.available.tolist() == [[False, True]] * 2


def test_a_phase_for_the_reliability_changes_nothing_else(tmp_path):
    phases = (*CONFIG.phases, Phase(3, 2, 32, 64, learns='reliability', scales=(1.0, 1.0)))
    trainer = train(tmp_path, replace(CONFIG, phases=phases), until=CONFIG.steps)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.run()
    changed = {name.split('.')[0] for name, value in trainer.network.state_dict().items()
               if not torch.equal(value, before[name])}
    assert changed == {'reliability_head'} and trainer.step == CONFIG.steps + 3


def test_gates_play_no_part_until_the_reliability_is_learned_then_learn_alone_then_with_the_rest(tmp_path):
    network = {**CONFIG.network, 'fusion_size': FusionConfig(rank=4)}
    part = dict(batch_size=2, height=32, width=64)
    phases = (Phase(2, **part), Phase(2, **part, learns='reliability'), Phase(2, **part, learns='gates'),
              Phase(2, **part, learns='segmentation'))
    config = replace(CONFIG, fusion='reliable_cross_scan', network=network, phases=phases,
                     failures=FailureConfig(alone=1))
    trainer = Trainer(config, Squares(), Squares(), tmp_path / 'gated')
    changed = []
    for until in (2, 4, 6, 8):
        before = {name: value.clone() for name, value in trainer.network.named_parameters()}
        trainer.run(until=until)
        changed.append({name for name, value in trainer.network.named_parameters()
                        if not torch.equal(value, before[name])})
    gates = {name for name in before if is_gate(name)}
    head = {name for name in before if name.startswith('reliability_head.')}
    assert changed[0] and not changed[0] & (gates | head)
    assert changed[1] and changed[1] <= head
    assert changed[2] and changed[2] <= gates
    assert changed[3] & gates and changed[3] - gates and not changed[3] & head
    assert trainer.network.gates_on


def test_only_a_reliable_cross_scan_has_gates_to_train_last(tmp_path):
    with pytest.raises(ConfigError, match='reliable_cross_scan'):
        Trainer(replace(CONFIG, phases=(Phase(2, 2, 32, 32, learns='gates'),)), Squares(), Squares(), tmp_path)


def test_frozen_parameters_stay_as_they_are(tmp_path):
    config = replace(CONFIG, frozen=('encoder.patch_embed',), encoder_rate=0.5)
    trainer = Trainer(config, Squares(), Squares(), tmp_path)
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    trainer.run(until=2)
    same = {name for name, value in trainer.network.named_parameters() if torch.equal(value, before[name])}
    frozen = {name for name in before if name.startswith('encoder.patch_embed')}
    assert frozen <= same and 'encoder.layers.0.blocks.0.mlp.fc1.weight' not in same


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_a_training_on_cuda_learns_as_one_on_the_cpu(tmp_path, precision):
    config = replace(CONFIG, phases=(Phase(12, 4, 32, 32),), learning_rate=1e-2)
    for device in ('cpu', 'cuda'):
        train(tmp_path / device, replace(config, device=device, precision=precision))
    expected, found = (read_rows(tmp_path / device / 'train.csv')['loss_labels'] for device in ('cpu', 'cuda'))
    np.testing.assert_allclose(found[:3], expected[:3], rtol=0.05)
    assert found[-1] < 0.9 * found[0]
