"""One stage's fusion: what the reliability does to it."""
import pytest
import torch

from rsgmamba_ros.network.fusion.parts import FusionConfig
from rsgmamba_ros.network.fusion.rsgmb import RSGMB


@pytest.fixture(scope='module')
def block():
    torch.manual_seed(0)
    return RSGMB(16, 2, FusionConfig(rank=4, relative=True)).requires_grad_(False)


def random_features():
    generator = torch.Generator().manual_seed(1)
    return {modality: torch.randn(1, 8, 8, 16, generator=generator) for modality in range(2)}


@pytest.fixture(scope='module')
def features():
    return random_features()


def fuse(block, features, **logits):
    given = {modality: torch.tensor([logits[name]]) for modality, name in enumerate(('rgb', 'x')) if name in logits}
    return block({modality: features[modality] for modality in given}, given)[0]


def test_of_two_sensors_that_fail_alike_as_much_is_read_as_of_two_good_ones(block, features):
    torch.testing.assert_close(fuse(block, features, rgb=-3.0, x=-3.0), fuse(block, features, rgb=8.0, x=8.0))


def test_a_sensor_alone_is_read_whatever_its_reliability(block, features):
    torch.testing.assert_close(fuse(block, features, rgb=-3.0), fuse(block, features, rgb=8.0))


def test_beside_a_better_one_a_sensor_fades_to_one_that_is_missing(block, features):
    alone = fuse(block, features, rgb=0.0)
    gaps = [(fuse(block, features, rgb=0.0, x=logit) - alone).abs().max() for logit in (0.0, -10.0, -200.0)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-4
