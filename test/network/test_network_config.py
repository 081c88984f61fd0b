import pytest

from rsgmamba_ros.network.config import RSGMambaConfig
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality


@pytest.mark.parametrize('values, message', [
    ({'classes': 0}, 'a network has 1 to 255 classes, got 0'), ({'classes': 256}, 'a network has 1 to 255 classes'),
    ({'auxiliary': Modality.RGB}, "auxiliary modality is 'rgb'; expected one of"),
    ({'fusion': 'product'}, "unknown fusion 'product'"), ({'encoder': 'resnet'}, "unknown encoder 'resnet'"),
    ({'encoder': 'efficientnet_lite0'}, 'the encoder efficientnet_lite0 has the dims'),
    ({'private_norms': True}, 'private_norms is for the encoder efficientnet_lite0, not for vmamba'),
    ({'dims': (8, 8, 8)}, 'dims and depths have 4 entries'), ({'depths': (1,) * 5}, 'dims and depths have 4 entries')])
def test_a_shape_that_no_network_has_is_refused_with_the_reason(values, message):
    with pytest.raises(ConfigError, match=message):
        RSGMambaConfig(**{'classes': 3, **values})


@pytest.mark.parametrize('classes', [1, 255])
def test_a_label_map_of_8_bits_holds_all_classes_and_a_mark_for_none(classes):
    assert RSGMambaConfig(classes=classes).classes == classes
