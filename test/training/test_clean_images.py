from copy import deepcopy

import pytest
import torch

from rsgmamba_ros.data.synthetic.dataset import SyntheticDataset
from rsgmamba_ros.network.presets import create_network, EDGE_CORRELATION
from rsgmamba_ros.training.clean_images import fit_clean_images, forget_clean_images
from rsgmamba_ros.vocabulary.preprocessing import DepthLaw, DepthScaling, PreprocessingConfig

SIZE = PreprocessingConfig(64, 96)


class Unlabelled:
    """The same images, as of one's own sensor."""

    is_labelled = False

    def __init__(self, dataset: SyntheticDataset):
        self.dataset, self.labels, self.auxiliary = dataset, dataset.labels, dataset.auxiliary
        self.digest = dataset.digest

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int):
        return self.dataset[index]


@pytest.fixture(scope='module')
def rooms(render_rooms) -> SyntheticDataset:
    return render_rooms(0, 30)


def network():
    torch.manual_seed(0)
    return create_network('nano', classes=13, dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_width=8,
                          correlation=EDGE_CORRELATION, typicality=True, pair_checks=True)


def known(one) -> list[bool]:
    head = one.reliability_head
    return [check.is_fitted for check in (*head.checks, head.pair_checks['scale'].check.floor)]


def test_labelled_depth_tells_all_and_both_networks_get_it(rooms):
    one = network()
    average = deepcopy(one)
    assert known(one) == [False] * 4
    fit_clean_images(one, average, rooms, SIZE)
    assert known(one) == known(average) == [True] * 4
    for name, value in one.reliability_head.named_buffers():
        assert torch.equal(value, average.reliability_head.get_buffer(name)), name


def test_what_a_floor_looks_like_stays_for_images_without_labels(rooms):
    one = network()
    fit_clean_images(one, deepcopy(one), Unlabelled(rooms), SIZE)
    assert known(one) == [True, True, True, False]
    forget_clean_images(one)
    fit_clean_images(one, deepcopy(one), rooms, SIZE)
    forget_clean_images(one)
    assert known(one) == [False] * 4
    fit_clean_images(one, deepcopy(one), Unlabelled(rooms), SIZE)
    assert known(one) == [True] * 4


def test_a_height_needs_logarithms_of_distances(rooms):
    one = network()
    fit_clean_images(one, deepcopy(one), rooms, PreprocessingConfig(64, 96, depth=DepthScaling(law=DepthLaw.INVERSE)))
    assert known(one) == [True, True, True, False]
