"""Rendered rooms to train on, two small images each."""
from collections.abc import Callable

import pytest

from rsgmamba_ros.data.synthetic.dataset import SyntheticDataset
from rsgmamba_ros.vocabulary.images import Modality


@pytest.fixture(scope='session')
def render_rooms(tmp_path_factory) -> Callable[..., SyntheticDataset]:
    cache = tmp_path_factory.mktemp('rooms')

    def render(first_seed: int, rooms: int) -> SyntheticDataset:
        return SyntheticDataset(Modality.DEPTH, first_seed=first_seed, rooms=rooms, cache=cache, height=64, width=96)
    return render


@pytest.fixture(scope='session')
def rooms(render_rooms) -> SyntheticDataset:
    return render_rooms(0, 1)


@pytest.fixture(scope='session')
def other_rooms(render_rooms) -> SyntheticDataset:
    return render_rooms(1, 1)
