"""Self-training: images of real sensors that the network labels itself."""
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.training.config import Phase, TrainingConfig
from rsgmamba_ros.training.reliability.evidence_set import EvidenceConfig
from rsgmamba_ros.training.reliability.head_fit import HeadFitConfig
from rsgmamba_ros.training.samples.pseudo_labels import PseudoLabelled
from rsgmamba_ros.training.samples.real_sensors import RealSensors
from rsgmamba_ros.training.trainer import PSEUDO_LABELS, Trainer
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

PREPROCESSING = PreprocessingConfig(height=64, width=96, keep_aspect=True)


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return create_network('lite', classes=7).eval()


def sensors(camera) -> RealSensors:
    return RealSensors(path=camera, names=('front',), left_out=(camera / 'left_out.txt',))


def label(unlabelled: PseudoLabelled, network, confidence: float) -> None:
    unlabelled.label(network, PREPROCESSING, confidence=confidence, ignore_index=255)


def test_images_that_take_part_get_label_maps_of_their_size(network, camera, tmp_path):
    unlabelled = PseudoLabelled([sensors(camera)], tmp_path, width=48)
    label(unlabelled, network, 0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['front__0000.png', 'front__0002.png']
    sample = unlabelled.draw(np.random.default_rng(0))
    assert sample.rgb.shape[:2] == sample.auxiliary.shape == sample.label_map.shape == (32, 48)
    assert sample.label_map.max() < 7


def test_pixels_without_confidence_are_ignored(network, camera, tmp_path):
    unlabelled = PseudoLabelled([sensors(camera)], tmp_path, width=96)
    label(unlabelled, network, 1.1)
    assert (unlabelled.draw(np.random.default_rng(0)).label_map == 255).all()


def test_label_maps_that_are_there_stay(network, camera, tmp_path):
    unlabelled = PseudoLabelled([sensors(camera)], tmp_path, width=96)
    label(unlabelled, network, 0.0)
    own = np.full((64, 96), 3, np.uint8)
    for path in tmp_path.iterdir():
        cv2.imwrite(str(path), own)
    label(unlabelled, network, 0.0)
    assert (unlabelled.draw(np.random.default_rng(0)).label_map == 3).all()


def test_a_training_labels_at_the_first_such_phase_and_resumes_bit_for_bit(camera, rooms, other_rooms, tmp_path):
    phase = Phase(steps=2, batch_size=2, height=64, width=96)
    config = TrainingConfig(
        auxiliary=Modality.DEPTH, preset='lite', threads=1, warmup_steps=1, save_every=1, preprocessing=PREPROCESSING,
        phases=(phase, replace(phase, unlabelled=0.5, learns='segmentation')), confidence=0.0,
        evidence=EvidenceConfig(simulated=4, references=4, queries=2, real=(sensors(camera),)),
        head=HeadFitConfig(epochs=1, references=(2, 4)))
    before = Trainer(config, rooms, other_rooms, tmp_path / 'whole')
    before.run(until=2)
    assert not (tmp_path / 'whole' / PSEUDO_LABELS).exists()
    before.run(until=4)
    assert len(list((tmp_path / 'whole' / PSEUDO_LABELS).iterdir())) == 2
    for until in (1, 3, 4):
        stopped = Trainer(config, rooms, other_rooms, tmp_path / 'stopped')
        stopped.run(until=until)
    first, second = before.network.state_dict(), stopped.network.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_share_beyond_a_whole_is_refused():
    with pytest.raises(ConfigError, match='unlabelled'):
        Phase(steps=1, batch_size=1, height=64, width=96, unlabelled=1.0)
