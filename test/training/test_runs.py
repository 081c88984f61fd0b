from dataclasses import replace
from pathlib import Path

import pytest

from rsgmamba_ros.network.checkpoint import load_checkpoint
from rsgmamba_ros.training.config import Phase, TrainingConfig
from rsgmamba_ros.training.runs import train_network, train_once
from rsgmamba_ros.training.trainer import CHECKPOINT, Trainer
from rsgmamba_ros.vocabulary.errors import CheckpointError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

CONFIG = TrainingConfig(
    Modality.DEPTH, (Phase(1, 2, 32, 32),), preprocessing=PreprocessingConfig(64, 96), calibration_samples=2,
    fusion='x_only', network={'dims': [8, 8, 8, 8], 'depths': [1, 1, 1, 1], 'decoder_width': 8}, warmup_steps=1)


def seed_of(folder: Path) -> int:
    return load_checkpoint(folder / CHECKPOINT).info['seed']


def test_what_another_configuration_gave_is_kept_under_another_name(rooms, tmp_path):
    for seed in (0, 1, 0, 1):
        train_once(replace(CONFIG, seed=seed), rooms, rooms, tmp_path / 'x_only', teachers=tmp_path)
    assert seed_of(tmp_path / 'x_only') == 1
    kept = [path for path in tmp_path.iterdir() if path.name.startswith('x_only.')]
    assert sorted(map(seed_of, kept)) == [0, 0, 1]


def test_settings_of_the_machine_do_not_make_another_training(rooms, tmp_path):
    first = train_once(CONFIG, rooms, rooms, tmp_path / 'x_only', teachers=tmp_path).stat().st_mtime_ns
    other = replace(CONFIG, device='cpu', threads=1, log_every=3)
    assert train_once(other, rooms, rooms, tmp_path / 'x_only', teachers=tmp_path).stat().st_mtime_ns == first


def test_a_stopped_training_of_another_configuration_is_not_resumed(rooms, tmp_path):
    longer = replace(CONFIG, phases=(Phase(3, 2, 32, 32),), save_every=1)
    Trainer(longer, rooms, rooms, tmp_path / 'x_only').run(until=1)
    checkpoint = train_once(CONFIG, rooms, rooms, tmp_path / 'x_only', teachers=tmp_path)
    assert load_checkpoint(checkpoint).info['steps'] == CONFIG.steps


def test_other_start_weights_make_another_training(rooms, tmp_path):
    starts = [train_once(replace(CONFIG, seed=seed), rooms, rooms, tmp_path / f'start{seed}', teachers=tmp_path)
              for seed in (0, 1)]
    given = tmp_path / 'start.safetensors'
    stamps = []
    for start in starts:
        given.write_bytes(start.read_bytes())
        stamps.append(train_once(replace(CONFIG, start=given), rooms, rooms, tmp_path / 'x_only', teachers=tmp_path)
                      .stat().st_mtime_ns)
    assert stamps[0] != stamps[1]


def test_a_training_in_a_folder_of_the_user_is_not_resumed_with_other_data(rooms, other_rooms, tmp_path):
    train_network(CONFIG, rooms, rooms, tmp_path)
    with pytest.raises(CheckpointError, match='holds a training with other data; move it away'):
        train_network(CONFIG, other_rooms, rooms, tmp_path)
