"""The evidence of sensors: simulated and real ones, kept in files so that a stopped run goes on."""
import numpy as np
import pytest
import torch

from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.network.reliability.profiled.head import QUESTIONS
from rsgmamba_ros.training.reliability.evidence_set import (
    collect_evidence,
    EvidenceConfig,
    question_of,
)
from rsgmamba_ros.training.samples.real_sensors import RealSensors
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

PREPROCESSING = PreprocessingConfig(height=64, width=96, keep_aspect=True)


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return create_network('lite', classes=7).eval()


@pytest.fixture(scope='module')
def rooms(render_rooms):
    return render_rooms(0, 6)


def config(camera):
    real = RealSensors(path=camera, names=('front',), left_out=(camera / 'left_out.txt',), repeats=2)
    return EvidenceConfig(simulated=2, references=4, queries=2, real=(real,))


def test_simulated_and_real_sensors_give_clean_and_corrupted_evidence(network, rooms, camera, tmp_path):
    sensors = collect_evidence(network, rooms, PREPROCESSING, config(camera), tmp_path, seed=1)
    assert [sensor.name for sensor in sensors] == ['simulated_0000', 'simulated_0001', 'real_front', 'real_front']
    for sensor in sensors:
        assert sensor.figures.shape[1] == network.reliability_head.layout.figures
        assert np.isfinite(sensor.figures).all()
        assert (sensor.target[sensor.clean] == 1).all() and (sensor.target[~sensor.clean] < 1).all()
    assert sensors[0].reference.sum() == 4
    assert sensors[2].clean.sum() == 2  # one of three is left out


def test_a_stopped_run_goes_on_with_the_files_that_are_there(network, rooms, camera, tmp_path):
    first = collect_evidence(network, rooms, PREPROCESSING, config(camera), tmp_path, seed=1)
    (tmp_path / 'simulated_0001.npz').unlink()
    written = (tmp_path / 'simulated_0000.npz').stat().st_mtime_ns
    second = collect_evidence(network, rooms, PREPROCESSING, config(camera), tmp_path, seed=1)
    assert (tmp_path / 'simulated_0000.npz').stat().st_mtime_ns == written
    for before, after in zip(first, second):
        np.testing.assert_allclose(after.figures, before.figures, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('family', 'modality', 'question'), [
    ('gaussian', Modality.RGB, 'rgb'), ('axial_noise', Modality.DEPTH, 'auxiliary'),
    ('misalignment', Modality.RGB, 'alignment'), ('lateral_shift', Modality.DEPTH, 'alignment'),
    ('scale_error', Modality.DEPTH, 'scale')])
def test_a_family_concerns_one_question(family, modality, question):
    assert question in QUESTIONS
    assert question_of(family, modality) == question
