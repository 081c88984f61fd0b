import numpy as np
import pytest

from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.labels import default_palette, LabelSpace


def test_default_palette_gives_every_class_its_own_colour():
    assert len(set(default_palette(255))) == 255
    assert default_palette(2)[1] == (128, 0, 0)


def test_colourise_paints_classes_and_leaves_the_rest_black():
    labels = LabelSpace(('floor', 'box'), palette=((1, 2, 3), (4, 5, 6)))
    painted = labels.colourise(np.array([[0, 1, 255]], np.uint8))
    assert painted.tolist() == [[[1, 2, 3], [4, 5, 6], [0, 0, 0]]]


@pytest.mark.parametrize('arguments', [
    {'names': ()},
    {'names': ('a', 'a')},
    {'names': ('a',), 'palette': ((0, 0, 0), (1, 1, 1))},
    {'names': ('a',), 'palette': ((0, 0, 256),)},
    {'names': ('a',), 'ignore_index': 256},
])
def test_impossible_label_spaces_are_refused(arguments):
    with pytest.raises(ConfigError):
        LabelSpace(**arguments)
