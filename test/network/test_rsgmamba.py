"""The whole network at small sizes: availability, reliability, gradients, sizes."""
import pytest
import torch
from torch import nn

from rsgmamba_ros.network.fusion.registry import FUSIONS
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH = Modality.RGB, Modality.DEPTH
AVAILABLE = torch.tensor([[True, True], [True, False], [False, True], [True, True]])


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return create_network('nano', classes=5).eval()


@pytest.fixture(scope='module')
def images():
    return torch.randn(4, 2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def usable_items(network):
    """Whether each item of `AVAILABLE` has a modality that the network uses, (4,) bool."""
    return AVAILABLE[:, [modality in network.modalities for modality in network.axis]].any(1)


@torch.no_grad()
def run(network, images, available):
    return network(images, available)


def test_output_has_the_shapes_and_ranges_of_the_contract(network, images):
    output = run(network, images, AVAILABLE)
    assert output.logits.shape == (4, 5, 64, 96) and output.logits.dtype == torch.float32
    assert output.reliability.shape == output.reliability_logits.shape == (4, 2)
    assert [tuple(gate.shape) for gate in output.reliability_maps] == [
        (4, 2, 16, 24), (4, 2, 8, 12), (4, 2, 4, 6), (4, 2, 2, 3)]
    for values in (output.reliability, *output.reliability_maps):
        assert values.min() >= 0 and values.max() <= 1


def test_reliability_is_exactly_zero_where_a_modality_is_missing(network, images):
    output = run(network, images, AVAILABLE)
    assert torch.equal(output.reliability == 0, ~AVAILABLE)
    for gate in output.reliability_maps:
        assert torch.equal((gate == 0).all((2, 3)), ~AVAILABLE)


@pytest.mark.parametrize('garbage', [float('nan'), float('inf'), 1e30])
@pytest.mark.parametrize('fusion', FUSIONS)
def test_the_values_of_a_missing_image_change_no_bit(fusion, garbage, images):
    network = create_network('nano', classes=3, fusion=fusion).eval()
    usable = usable_items(network)
    inputs, flags = images[usable], AVAILABLE[usable]
    changed = inputs.clone()
    changed[~flags] = garbage
    expected, result = run(network, inputs, flags), run(network, changed, flags)
    assert torch.equal(result.logits, expected.logits) and result.logits.isfinite().all()
    assert torch.equal(result.reliability, expected.reliability)
    assert all(map(torch.equal, result.reliability_maps, expected.reliability_maps))


def test_gradients_are_finite_with_nan_in_a_missing_image(images):
    network = create_network('nano', classes=3)
    changed = images.clone()
    changed[~AVAILABLE] = float('nan')
    network(changed, AVAILABLE).logits.square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_bundles_of_a_batch_do_not_influence_each_other(network, images):
    together = run(network, images, AVAILABLE)
    for item in range(len(images)):
        alone = run(network, images[item:item + 1], AVAILABLE[item:item + 1])
        # Other batch sizes take other matrix kernels: float32 rounding, no more.
        torch.testing.assert_close(alone.logits[0], together.logits[item], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alone.reliability[0], together.reliability[item], rtol=1e-4, atol=1e-5)


def test_a_modality_without_reliability_fades_to_one_that_is_missing(network, images):
    level = network.encoder(images[:1, 0])[1].detach()
    other = network.encoder(images[:1, 1])[1].detach()
    unreliable = {RGB: torch.zeros(1), DEPTH: torch.full((1,), -40.0)}
    with torch.no_grad():
        together = network.fusion[1]({RGB: level, DEPTH: other}, unreliable)
        alone = network.fusion[1]({RGB: level}, {RGB: torch.zeros(1)})
    torch.testing.assert_close(together.features, alone.features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('fusion', FUSIONS)
def test_every_parameter_gets_a_gradient(fusion, images):
    torch.manual_seed(0)
    network = create_network('nano', classes=3, fusion=fusion)
    for name, parameter in network.named_parameters():
        if name.endswith('.share'):  # at 0 nothing before it gets a gradient
            nn.init.constant_(parameter, 0.1)
    usable = usable_items(network)
    output = network(images[usable], AVAILABLE[usable])
    loss = output.logits.square().mean() + output.reliability_logits.square().mean()
    (loss + sum(gate.mean() for gate in output.reliability_maps)).backward()
    missing = [name for name, parameter in network.named_parameters()
               if parameter.grad is None or not parameter.grad.abs().sum() > 0]
    assert not missing


def test_segmentation_loss_does_not_bend_the_reliability(images):
    network = create_network('nano', classes=3)
    network(images, AVAILABLE).logits.square().mean().backward()
    assert all(parameter.grad is None for parameter in network.reliability_head.parameters())


def test_single_modality_networks_ignore_the_other_one(images):
    network = create_network('nano', classes=3, fusion='rgb_only').eval()
    flags = torch.tensor([[True, True]])
    expected = run(network, images[:1], flags)
    changed = images[:1].clone()
    changed[:, 1] = 7
    result = run(network, changed, flags)
    assert torch.equal(result.logits, expected.logits)
    assert result.reliability[0, 1] == 0
    with pytest.raises(ValueError, match='no available modality'):
        network(images[:1], torch.tensor([[False, True]]))


def test_bundle_without_any_modality_is_refused(network, images):
    with pytest.raises(ValueError, match=r'batch items \[1\] have no available modality'):
        network(images[:2], torch.tensor([[True, True], [False, False]]))


def test_size_that_does_not_divide_is_refused_with_the_size_to_pad_to(network):
    with pytest.raises(ValueError, match='Pad to 64x96'):
        network(torch.zeros(1, 2, 3, 50, 90), torch.ones(1, 2, dtype=torch.bool))


def test_unknown_fusion_is_refused():
    with pytest.raises(ConfigError, match='unknown fusion'):
        create_network('nano', classes=3, fusion='attention')


def test_one_step_of_training_lowers_the_loss(images):
    torch.manual_seed(0)
    network = create_network('nano', classes=3)
    labels = torch.zeros(4, 64, 96, dtype=torch.long)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    losses = []
    for _ in range(4):
        loss = torch.nn.functional.cross_entropy(network(images, AVAILABLE).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_network_gives_the_same_on_every_backend(network, images):
    expected = run(network, images[:1, :, :, :32, :32], AVAILABLE[:1])
    try:
        for backend in ('reference', 'chunked'):
            network.set_scan_backend(backend)
            result = run(network, images[:1, :, :, :32, :32], AVAILABLE[:1])
            torch.testing.assert_close(result.logits, expected.logits, rtol=1e-4, atol=1e-5)
    finally:
        network.set_scan_backend('auto')


@pytest.mark.parametrize('preset', ['nano', 'lite'])
@torch.no_grad()
def test_bundles_that_share_images_give_what_they_give_on_their_own(preset, images):
    torch.manual_seed(2)
    network = create_network(preset, classes=3).eval()
    indices = torch.tensor([0, 0, 1, 2, 2, 3])
    available = torch.tensor([[True, True], [False, True], [True, False], [True, True], [True, False], [False, True]])
    shared, apart = network(images, available, indices), network(images[indices], available)
    torch.testing.assert_close(shared.logits, apart.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shared.reliability, apart.reliability, rtol=1e-4, atol=1e-5)


def test_estimating_the_reliability_alone_gives_the_same_and_trains_only_its_head(network, images):
    output = network(images, AVAILABLE)
    logits = network.estimate_reliability(images, AVAILABLE)
    torch.testing.assert_close(logits, output.reliability_logits, rtol=1e-4, atol=1e-5)
    network.zero_grad()
    logits.sum().backward()
    taught = {name.split('.')[0] for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert taught == {'reliability_head'}
    network.zero_grad()


def test_baselines_have_as_many_parameters_as_the_network():
    for preset in ('nano', 'lite'):
        counts = {fusion: sum(p.numel() for p in create_network(preset, classes=13, fusion=fusion).parameters())
                  for fusion, kind in FUSIONS.items() if not kind.gated}
        # The head measures and does not segment: baselines may have its parameters or not.
        network = create_network(preset, classes=13)
        own, head = (sum(p.numel() for p in part.parameters()) for part in (network, network.reliability_head))
        assert all(0.97 * (own - head) < count < 1.01 * own for count in counts.values()), counts


def test_the_axis_of_a_network_for_thermal_is_rgb_then_thermal():
    network = create_network('nano', classes=3, auxiliary=Modality.THERMAL, fusion='x_only')
    assert network.axis == (RGB, Modality.THERMAL)
    assert network.modalities == (Modality.THERMAL,)


@torch.no_grad()
def test_a_network_whose_gates_are_off_is_a_plain_cross_scan_without_reliability_maps(images):
    torch.manual_seed(0)
    gated = create_network('nano', classes=3, fusion='reliable_cross_scan').eval()
    plain = create_network('nano', classes=3, fusion='cross_scan').eval()
    plain.load_state_dict({name: value for name, value in gated.state_dict().items() if name in plain.state_dict()})
    gated.gates_on = False
    found, expected = gated(images, AVAILABLE), plain(images, AVAILABLE)
    assert torch.equal(found.logits, expected.logits) and found.reliability_maps == ()
    assert torch.equal(found.reliability == 0, ~AVAILABLE) and found.reliability[AVAILABLE].min() > 0.99


@pytest.mark.parametrize('shape, available', [((1, 1, 3, 64, 96), (1, 2)), ((1, 2, 1, 64, 96), (1, 2)),
                                              ((2, 2, 3, 64, 96), (1, 2)), ((1, 2, 3, 64, 96), (1, 3))])
def test_sizes_that_do_not_fit_each_other_are_refused_with_what_was_expected(network, shape, available):
    with pytest.raises(ValueError, match=r'expected \(B, 2, 3, H, W\) and \(B, 2\)'):
        network(torch.zeros(shape), torch.ones(available, dtype=torch.bool))


@torch.no_grad()
def test_a_reliability_that_is_given_takes_the_place_of_the_estimate(network, images):
    given = torch.tensor([[1.0, -2.0], [3.0, 0.0], [0.0, -1.0], [-3.0, 2.0]])
    output = network(images, AVAILABLE, None, given)
    torch.testing.assert_close(output.reliability, torch.where(AVAILABLE, torch.sigmoid(given), 0.0))
    assert not torch.equal(output.logits, run(network, images, AVAILABLE).logits)


@pytest.mark.parametrize('fusion', ['rsgmb_lcgm', 'reliable_cross_scan'])
def test_the_gates_of_an_untrained_network_are_open(images, fusion):
    torch.manual_seed(0)
    network = create_network('nano', classes=2, fusion=fusion).eval()
    for gates in run(network, images, torch.ones(4, 2, dtype=torch.bool)).reliability_maps:
        assert gates.mean((0, 2, 3)).tolist() == pytest.approx([0.88, 0.88], abs=0.03)
