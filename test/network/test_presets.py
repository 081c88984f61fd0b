"""The sizes that the presets promise."""
import pytest
import torch

from rsgmamba_ros.network.accounting import count_parameters
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.vocabulary.errors import ConfigError


@pytest.mark.parametrize('preset, low, high', [
    ('nano', 1.5e6, 3.0e6), ('base', 48.1e6, 49.1e6)])
def test_preset_has_its_size_at_40_classes(preset, low, high):
    with torch.device('meta'):
        counts = count_parameters(create_network(preset, classes=40))
    assert low <= counts['parameters'] <= high
    assert sum(counts.values()) == 2 * counts['parameters']


def test_base_encoder_is_vmamba_tiny():
    with torch.device('meta'):
        counts = count_parameters(create_network('base', classes=40))
    assert counts['encoder'] == 29_481_408  # 30.25M of vssm1_tiny_0230s less its classifier, plus four output norms


def test_unknown_preset_and_field_are_refused():
    with pytest.raises(ConfigError, match='unknown preset'):
        create_network('huge', classes=3)
    with pytest.raises(ConfigError, match='preset'):
        create_network('nano', classes=3, width=3)
