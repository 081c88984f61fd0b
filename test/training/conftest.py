"""Rendered rooms to train on, two small images each."""
from collections.abc import Callable

import cv2
import numpy as np
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


@pytest.fixture(scope='session')
def camera(tmp_path_factory, render_rooms):
    """Holds a folder `front` with three images of a real camera, as `sensor_frames` has them; one is left out."""
    folder = tmp_path_factory.mktemp('sensors')
    for kind in ('rgb', 'depth'):
        (folder / 'front' / kind).mkdir(parents=True)
    rooms = render_rooms(0, 6)
    for index in range(3):
        sample = rooms[index]
        cv2.imwrite(str(folder / 'front' / 'rgb' / f'{index:04d}.png'), sample.rgb[..., ::-1])
        depth = np.nan_to_num(sample.auxiliary * 1000).astype(np.uint16)
        cv2.imwrite(str(folder / 'front' / 'depth' / f'{index:04d}.png'), depth)
    (folder / 'left_out.txt').write_text('front__0001\n')
    return folder
