from dataclasses import replace
import json

import pytest
import torch

from rsgmamba_ros.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.training.config import Phase, TrainingConfig
from rsgmamba_ros.training.fingerprints import fingerprint
from rsgmamba_ros.training.loss import sparse_log_probabilities, Targets
from rsgmamba_ros.training.runs import train_network
from rsgmamba_ros.training.samples.batches import Batch
from rsgmamba_ros.training.samples.failures import FailureConfig
from rsgmamba_ros.training.trainer import CHECKPOINT, Trainer
from rsgmamba_ros.training.training_log import read_rows
from rsgmamba_ros.training.weights.teachers import load_teachers, Teachers
from rsgmamba_ros.vocabulary.errors import CheckpointError, ConfigError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

NETWORK = {'dims': [8, 8, 8, 8], 'depths': [1, 1, 1, 1], 'decoder_width': 8}
CONFIG = TrainingConfig(
    Modality.DEPTH, (Phase(2, 2, 32, 32),), preprocessing=PreprocessingConfig(64, 96), calibration_samples=2,
    network=NETWORK, warmup_steps=1, log_every=1, teachers=('rgb_only', 'x_only'),
    failures=FailureConfig(missing=0, corrupted=0, alone=2))
CPU = torch.device('cpu')


def teacher(fusion: str):
    torch.manual_seed(0)
    return create_network('nano', classes=3, fusion=fusion, **NETWORK)


def test_a_teacher_teaches_clean_images_of_its_own_modality_alone():
    network = teacher('rgb_only')
    images = torch.rand(2, 2, 3, 32, 32)
    # Image 0: both, RGB alone, depth alone. Image 1 has its depth corrupted, then its RGB.
    available = torch.tensor([[True, True], [True, False], [False, True], [True, False], [True, False]])
    reliability = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 0.5], [0.5, 1.0]])
    targets = Targets(torch.zeros(5, 32, 32, dtype=torch.int64), reliability, torch.ones(5, 2, 32, 32))
    rows = torch.tensor([0, 0, 0, 1, 1])
    lesson, = Teachers([network]).lessons(Batch(images, available, rows, targets))
    assert lesson.indices.tolist() == [1, 3]
    with torch.no_grad():
        expected = network(images, torch.tensor([[True, False]] * 2)).logits
    torch.testing.assert_close(lesson.log_probabilities, sparse_log_probabilities(expected))


def test_a_teacher_without_bundles_of_its_own_gives_no_lesson():
    batch = Batch(torch.rand(1, 2, 3, 32, 32), torch.tensor([[True, True]]), torch.tensor([0]), Targets(
        torch.zeros(1, 32, 32, dtype=torch.int64), torch.ones(1, 2), torch.ones(1, 2, 32, 32)))
    assert Teachers([teacher('rgb_only'), teacher('x_only')]).lessons(batch) == []


def test_teachers_are_trained_first_and_then_teach(rooms, tmp_path):
    train_network(CONFIG, rooms, rooms, tmp_path)
    assert all((tmp_path / name / 'checkpoint.safetensors').exists() for name in ('.', *CONFIG.teachers))
    assert min(read_rows(tmp_path / 'train.csv')['loss_distillation']) > 0
    assert max(read_rows(tmp_path / 'rgb_only' / 'train.csv')['loss_distillation']) == 0


@pytest.mark.parametrize('changed', [{'seed': 1}, {'learning_rate': 0.1}, {'phases': (Phase(1, 2, 32, 32),)}])
def test_a_teacher_of_another_configuration_is_trained_again(changed, rooms, tmp_path):
    config = replace(CONFIG, teachers=('rgb_only',))
    train_network(config, rooms, rooms, tmp_path)
    (tmp_path / 'checkpoint.safetensors').unlink()
    (tmp_path / 'state.pt').unlink()
    train_network(replace(config, **changed), rooms, rooms, tmp_path)
    expected = json.loads(fingerprint(replace(config, **changed).for_fusion('rgb_only')))
    assert load_checkpoint(tmp_path / 'rgb_only' / CHECKPOINT).info['config'] == expected


def test_a_training_is_not_resumed_with_another_teacher(rooms, tmp_path):
    config = replace(CONFIG, teachers=('rgb_only',))
    train_network(config, rooms, rooms, tmp_path)
    path = tmp_path / 'rgb_only' / CHECKPOINT
    teacher_before = load_checkpoint(path)
    with torch.no_grad():
        teacher_before.network.decoder.classifier.weight.zero_()
    save_checkpoint(path, teacher_before)
    with pytest.raises(CheckpointError, match='a training with other weights'):
        train_network(config, rooms, rooms, tmp_path)


def test_another_configuration_is_refused_before_a_teacher_is_trained_again(rooms, tmp_path):
    config = replace(CONFIG, teachers=('rgb_only',))
    train_network(config, rooms, rooms, tmp_path)
    stamp = (tmp_path / 'rgb_only' / CHECKPOINT).stat().st_mtime_ns
    with pytest.raises(CheckpointError, match='a training with other config'):
        train_network(replace(config, seed=1), rooms, rooms, tmp_path)
    assert (tmp_path / 'rgb_only' / CHECKPOINT).stat().st_mtime_ns == stamp


def test_a_teacher_that_is_not_there_is_missed_at_once(rooms, tmp_path):
    with pytest.raises(CheckpointError, match='rgb_only'):
        Trainer(CONFIG, rooms, rooms, tmp_path)


def test_a_teacher_of_other_classes_is_refused(tmp_path):
    path = tmp_path / 'checkpoint.safetensors'
    labels = LabelSpace(('wall', 'chair', 'floor'))
    save_checkpoint(path, Checkpoint(teacher('rgb_only'), labels), dtype=torch.float32)
    with pytest.raises(CheckpointError, match='has the classes wall, chair, floor'):
        load_teachers([path], LabelSpace(('wall', 'chair', 'road')), CPU)


def test_only_networks_of_one_sensor_teach():
    with pytest.raises(ConfigError, match='teachers'):
        replace(CONFIG, teachers=('sum',))
