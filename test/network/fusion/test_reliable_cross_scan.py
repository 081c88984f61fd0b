"""A cross scan that is weighted by reliability: where it starts, how a modality fades, and what one alone does."""
import pytest
import torch
from torch.nn import functional as F

from rsgmamba_ros.network.fusion.baselines import CrossScan
from rsgmamba_ros.network.fusion.contract import FusionConfig
from rsgmamba_ros.network.fusion.reliable_cross_scan import CROSS_SCAN_WIDTH, ReliableCrossScan
from test.network.fusion.stages import AXIS, CHANNELS, DEPTH, fuse, random_features, RGB


@pytest.fixture(scope='module')
def features():
    return random_features()


@pytest.fixture
def block() -> ReliableCrossScan:
    torch.manual_seed(0)
    return ReliableCrossScan(CHANNELS, AXIS, FusionConfig(rank=4)).requires_grad_(False)


@pytest.fixture
def cross_scan(block) -> CrossScan:
    plain = CrossScan(CHANNELS, AXIS, FusionConfig(ratio=CROSS_SCAN_WIDTH, rank=4)).requires_grad_(False)
    plain.load_state_dict({name: value for name, value in block.state_dict().items()
                           if name.split('.')[0] not in block.gate_names})
    return plain


def make_own_gates_alike(block: ReliableCrossScan) -> None:
    """So that only the scalar reliabilities differ."""
    for modality in AXIS:
        block.own_gates[modality].fc2.weight.zero_()
        block.own_gates[modality].fc2.bias.zero_()


@pytest.mark.parametrize('given', [(RGB,), (DEPTH,), AXIS])
def test_it_starts_as_a_plain_cross_scan_and_is_one_while_the_gates_are_off(block, cross_scan, features, given):
    features = {modality: features[modality] for modality in given}
    make_own_gates_alike(block)
    expected = cross_scan(features, {}).features
    assert torch.equal(block(features, {}).features, expected) and not block(features, {}).gates
    logits = {modality: torch.zeros(1) for modality in given}
    torch.testing.assert_close(block(features, logits).features, expected)


@pytest.mark.parametrize('better, worse', [(RGB, DEPTH), (DEPTH, RGB)])
def test_an_unreliable_modality_fades_to_one_that_is_missing(block, features, better, worse):
    block.powers.fill_(3.0)
    make_own_gates_alike(block)
    alone = fuse(block, features, {better: 0.0})
    gaps = [float((fuse(block, features, {RGB: 0.0, DEPTH: 0.0, worse: logit}) - alone).abs().max())
            for logit in (0.0, -3.0, -30.0)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-4


def test_where_its_own_gate_is_closed_a_modality_is_as_if_missing(block, features):
    block.powers.fill_(3.0)
    block.own_gates[DEPTH].fc2.bias.fill_(-30.0)
    fused = block(features, {modality: torch.zeros(1) for modality in AXIS})
    torch.testing.assert_close(fused.features, fuse(block, features, {RGB: 0.0}))
    rgb, depth = fused.gates[RGB], fused.gates[DEPTH]
    assert rgb.shape == depth.shape == (1, 8, 8, 1) and depth.max() < 1e-9 < rgb.min()


def test_only_the_relative_reliability_of_a_pair_matters(block, features):
    make_own_gates_alike(block)
    torch.testing.assert_close(fuse(block, features, {RGB: -3.0, DEPTH: -3.0}),
                               fuse(block, features, {RGB: 8.0, DEPTH: 8.0}))


def test_a_modality_alone_uses_the_idle_stream_by_the_learned_share_whatever_its_reliability(block, features):
    before = fuse(block, features, {DEPTH: 0.0})
    block.stand_ins[DEPTH].share.fill_(1.0)
    assert (fuse(block, features, {DEPTH: 0.0}) - before).abs().max() > 1e-3
    torch.testing.assert_close(fuse(block, features, {DEPTH: -5.0}), fuse(block, features, {DEPTH: 5.0}))


def test_a_modality_alone_has_its_own_gain_and_shift_after_the_norm(block, features):
    plain, merge = {}, block.merge
    hook = merge.norm.register_forward_hook(lambda module, inputs, output: plain.update(normalised=output))
    block.stand_ins[DEPTH].gain.fill_(2.0)
    block.stand_ins[DEPTH].shift.fill_(-0.5)
    fused = fuse(block, features, {DEPTH: 0.0})
    hook.remove()
    torch.testing.assert_close(fused, F.gelu(2 * plain['normalised'] - 0.5))


def test_a_pair_does_not_use_the_stand_ins(block, features):
    before = fuse(block, features, {RGB: 0.0, DEPTH: 0.0})
    for modality in AXIS:
        for parameter in block.stand_ins[modality].parameters():
            parameter.fill_(torch.nan)
    assert torch.equal(fuse(block, features, {RGB: 0.0, DEPTH: 0.0}), before)
