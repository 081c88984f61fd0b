"""One stage of RSGMB with LCGM: what the reliability does to it."""
import pytest
import torch

from rsgmamba_ros.network.fusion.contract import FusionConfig
from rsgmamba_ros.network.fusion.rsgmb import RSGMB
from test.network.fusion.stages import AXIS, CHANNELS, DEPTH, fuse, random_features, RGB


@pytest.fixture(scope='module')
def block() -> RSGMB:
    torch.manual_seed(0)
    return RSGMB(CHANNELS, AXIS, FusionConfig(rank=4)).requires_grad_(False)


@pytest.mark.parametrize('better, worse', [(RGB, DEPTH), (DEPTH, RGB)])
def test_beside_a_better_one_a_modality_fades_to_one_that_is_missing(block, better, worse):
    features = random_features()
    alone = fuse(block, features, {better: 0.0})
    gaps = [float((fuse(block, features, {RGB: 0.0, DEPTH: 0.0, worse: logit}) - alone).abs().max())
            for logit in (0.0, -10.0, -200.0)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-4


def test_every_available_modality_has_a_gate(block):
    features = random_features()
    for given in ([RGB], [DEPTH], [RGB, DEPTH]):
        fused = block({modality: features[modality] for modality in given},
                      {modality: torch.zeros(1) for modality in given})
        assert list(fused.gates) == given
        assert all(gate.shape == (1, 8, 8, 1) and 0 < gate.min() < gate.max() < 1 for gate in fused.gates.values())
