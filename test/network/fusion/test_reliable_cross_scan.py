"""A cross scan that is weighed by reliability: where it begins, how sensors fade in it, and what one alone does."""
import pytest
import torch

from rsgmamba_ros.network.fusion.kinds import build_cross_scan, build_rsgmb
from rsgmamba_ros.network.fusion.parts import FusionConfig
from rsgmamba_ros.network.fusion.reliable_cross_scan import CROSSED_WIDTH
from test.network.fusion.test_rsgmb import fuse, random_features


@pytest.fixture(scope='module')
def features():
    return random_features()


@pytest.fixture
def crossing():
    torch.manual_seed(0)
    return build_rsgmb(16, 2, FusionConfig(rank=4, exchange=True)).requires_grad_(False)


@pytest.fixture
def cross_scan(crossing):
    plain = build_cross_scan(16, 2, FusionConfig(ratio=CROSSED_WIDTH, rank=4)).requires_grad_(False)
    plain.load_state_dict({name: value for name, value in crossing.state_dict().items()
                           if name.split('.')[0] not in crossing.gates})
    return plain


def make_own_gates_alike(block):
    """So that only the scalars differ."""
    for gate in block.own_gates:
        gate.fc2.weight.zero_()
        gate.fc2.bias.zero_()


@pytest.mark.parametrize('given', [(0,), (1,), (0, 1)])
def test_a_reliable_cross_scan_begins_as_a_cross_scan(crossing, cross_scan, features, given):
    features = {modality: features[modality] for modality in given}
    make_own_gates_alike(crossing)
    expected, _ = cross_scan(features, {})
    assert torch.equal(crossing(features, {})[0], expected)
    logits = {modality: torch.zeros(1) for modality in given}
    torch.testing.assert_close(crossing(features, logits)[0], expected)


def test_in_a_cross_scan_a_sensor_fades_to_one_that_is_missing(crossing, features):
    crossing.powers.fill_(3.0)
    make_own_gates_alike(crossing)
    for lone, name, other in ((0, 'rgb', 'x'), (1, 'x', 'rgb')):
        alone = fuse(crossing, features, **{name: 0.0})
        gaps = [(fuse(crossing, features, **{name: 0.0, other: logit}) - alone).abs().max()
                for logit in (0.0, -3.0, -30.0)]
        assert gaps[0] > gaps[1] > gaps[2], lone
        assert gaps[2] < 1e-4


def test_where_its_own_gate_is_closed_a_sensor_is_as_if_missing(crossing, features):
    crossing.powers.fill_(3.0)
    crossing.own_gates[1].fc2.bias.fill_(-30.0)
    fused, maps = crossing(features, {modality: torch.zeros(1) for modality in range(2)})
    torch.testing.assert_close(fused, fuse(crossing, features, rgb=0.0))
    assert maps[0].shape == maps[1].shape == (1, 8, 8, 1) and maps[1].max() < 1e-9 < maps[0].min()


def test_a_lone_sensor_is_read_through_the_other_ones_stream_as_far_as_was_learned(crossing, features):
    before = fuse(crossing, features, x=0.0)
    crossing.stand_ins[1].share.fill_(1.0)
    assert (fuse(crossing, features, x=0.0) - before).abs().max() > 1e-3
    torch.testing.assert_close(fuse(crossing, features, x=-5.0), fuse(crossing, features, x=5.0))


def test_a_pair_does_not_use_its_stand_ins(crossing, features):
    before = fuse(crossing, features, rgb=0.0, x=0.0)
    for part in crossing.stand_ins:
        part.share.fill_(torch.nan)
    assert torch.equal(fuse(crossing, features, rgb=0.0, x=0.0), before)
