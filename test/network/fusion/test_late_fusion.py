"""Late fusion: its formula, that it changes pairs alone, and which networks have it."""
import pytest
import torch

from rsgmamba_ros.network.fusion.late_fusion import fuse_late
from rsgmamba_ros.network.presets import create_network, PRESETS
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH = Modality.RGB, Modality.DEPTH
SHAPE = (2, 4, 6, 5)
SMALL = dict(dims=(8, 8, 8, 8), depths=(1, 1, 1, 1), decoder_width=8)


@pytest.fixture
def predictions():
    torch.manual_seed(0)
    return [torch.randn(SHAPE) for _ in range(3)]


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(1)
    network = create_network('nano', classes=5, late_fusion=True, **SMALL).eval().requires_grad_(False)
    for modality in network.axis:
        network.reliability_head.output[modality].weight.normal_(std=0.5)
    return network


@pytest.fixture(scope='module')
def images():
    torch.manual_seed(2)
    return torch.randn(3, 2, 3, 64, 96)


def flags(*rows):
    return torch.tensor(rows, dtype=torch.bool)


def test_it_is_the_mean_of_log_probabilities_weighted_by_the_root_of_reliability(predictions):
    together, rgb, depth = predictions
    reliability = {RGB: torch.tensor([0.9, 0.1]), DEPTH: torch.tensor([0.3, 1.0])}
    logits = {modality: torch.logit(value, eps=1e-6) for modality, value in reliability.items()}
    fused = fuse_late(together, {RGB: rgb, DEPTH: depth}, logits)
    weights = {modality: value.sqrt()[:, None, None, None] for modality, value in reliability.items()}
    expected = (together.log_softmax(-1) + weights[RGB] * rgb.log_softmax(-1)
                + weights[DEPTH] * depth.log_softmax(-1)) / (1 + weights[RGB] + weights[DEPTH])
    torch.testing.assert_close(fused.log_softmax(-1), expected.log_softmax(-1), rtol=1e-4, atol=1e-4)


def test_an_image_of_reliability_0_does_not_count(predictions):
    together, rgb, depth = predictions
    fused = fuse_late(together, {RGB: rgb, DEPTH: 1e6 * depth},
                      {RGB: torch.full((2,), 30.0), DEPTH: torch.full((2,), -200.0)})
    torch.testing.assert_close(fused, (together + rgb) / 2)


def test_it_keeps_the_dtype(predictions):
    together, rgb, depth = (logits.bfloat16() for logits in predictions)
    fused = fuse_late(together, {RGB: rgb, DEPTH: depth}, {RGB: torch.zeros(2), DEPTH: torch.zeros(2)})
    assert fused.dtype == torch.bfloat16


def test_a_network_averages_the_predictions_of_a_pair_and_of_each_image(network, images):
    pair = flags([True, True])
    fused = network(images[:1], pair)
    plain = create_network('nano', classes=5, **SMALL).eval().requires_grad_(False)
    plain.load_state_dict(network.state_dict())
    together, rgb, depth = (plain(images[:1], flags(case)).logits.permute(0, 2, 3, 1)
                            for case in ([True, True], [True, False], [False, True]))
    logits = fused.reliability_logits
    expected = fuse_late(together, {RGB: rgb, DEPTH: depth}, {RGB: logits[:, 0], DEPTH: logits[:, 1]})
    torch.testing.assert_close(fused.logits, expected.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-4)
    assert torch.equal(fused.reliability, plain(images[:1], pair).reliability)


def test_single_images_and_pairs_of_one_batch_do_not_mix(network, images):
    cases = ([False, True], [True, True], [True, False])
    batch = network(images, flags(*cases)).logits
    for index, case in enumerate(cases):
        own = network(images[index:index + 1], flags(case)).logits
        torch.testing.assert_close(batch[index:index + 1], own, rtol=1e-4, atol=1e-4)


def test_in_training_every_case_is_trained_on_its_own(network, images):
    plain = create_network('nano', classes=5, drop_path=0.0, **SMALL).train()
    late = create_network('nano', classes=5, drop_path=0.0, late_fusion=True, **SMALL).train()
    for other in (plain, late):
        other.load_state_dict(network.state_dict())
    pair = flags([True, True])
    assert torch.equal(plain(images[:1], pair).logits, late(images[:1], pair).logits)
    assert not torch.equal(plain.eval()(images[:1], pair).logits, late.eval()(images[:1], pair).logits)


def test_only_networks_that_estimate_reliability_fuse_late():
    assert PRESETS['lite'].late_fusion and not PRESETS['base'].late_fusion
    for fusion in ('sum', 'cross_scan', 'rgb_only'):
        assert not create_network('nano', classes=5, fusion=fusion, late_fusion=True, **SMALL).late_fusion


def test_without_reliability_all_predictions_count_alike(images):
    network = create_network('nano', classes=5, fusion='sum', **SMALL).eval().requires_grad_(False)
    cases = ([True, True], [True, False], [False, True])
    predictions = [network(images[:1], flags(case)).logits for case in cases]
    network.late_fusion = True
    fused = network(images[:1], flags([True, True])).logits
    torch.testing.assert_close(fused, sum(predictions) / 3, rtol=1e-3, atol=1e-3)
