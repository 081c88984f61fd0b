"""Parameters and multiply-accumulates, against figures that are known from elsewhere."""
import pytest
import torch

from rsgmamba_ros.network.accounting import count_operations, count_parameters
from rsgmamba_ros.network.presets import create_network, PRESETS


def test_parts_add_up():
    with torch.device('meta'):
        network = create_network('nano', classes=7)
    counts = count_parameters(network)
    assert counts['parameters'] == sum(p.numel() for p in network.parameters())
    operations = count_operations(network.config, 64, 96)
    for total, parts in ((counts['parameters'], counts), (operations['operations'], operations)):
        assert total == sum(parts[part] for part in ('encoder', 'rsgmb', 'lcgm', 'decoder', 'reliability_head'))


def test_base_encoder_costs_what_vmamba_tiny_is_said_to():
    # 4.9G at 224x224, classifier included, by the VMamba project; here two images are encoded.
    operations = count_operations(PRESETS['base'], 224, 224)
    assert operations['encoder'] / 2 == pytest.approx(4.85e9, rel=0.01)


def test_lite_encoder_costs_what_efficientnet_lite0_is_said_to():
    # 407M at 224x224 by its authors, who count norms and activations, too; 21M of them behind the encoder.
    assert count_operations(PRESETS['lite'], 224, 224, (True, False))['encoder'] == pytest.approx(386e6, rel=0.07)


def test_a_missing_modality_costs_no_encoder():
    both, alone = (count_operations(PRESETS['nano'], 64, 64, available) for available in ((True, True), (True, False)))
    assert alone['encoder'] * 2 == both['encoder']
    assert alone['rsgmb'] * 2 < both['rsgmb']
