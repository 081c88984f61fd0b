import cv2
import numpy as np
import pytest

from rsgmamba_ros.data.bags.sources import synthetic_shots, write_shots
from rsgmamba_ros.data.reference_images import open_references
from rsgmamba_ros.vocabulary.errors import BagError, DatasetError
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH, THERMAL = Modality


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('bags') / 'office'
    write_shots(path, synthetic_shots(12, seed=1, rate_hz=10, height=48, width=64, auxiliary=DEPTH), auxiliary=DEPTH,
                rate_hz=10)
    return path


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('rgb', 'depth'):
        (tmp_path / name).mkdir()
    for index in range(9):
        cv2.imwrite(str(tmp_path / 'rgb' / f'{index:04d}.jpg'), rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
        cv2.imwrite(str(tmp_path / 'depth' / f'{index:04d}.png'), rng.integers(0, 4000, (24, 32), dtype=np.uint16))
    return tmp_path


def test_the_pairs_of_a_bag_are_evenly_spread_from_first_to_last(bag):
    references = open_references(bag, DEPTH, images=4)
    assert (references.found, len(references)) == (12, 4)
    assert references.description == 'office: /rgb/image and /depth/image'
    bundles = list(references)
    assert all(bundle.image(modality) is not None for bundle in bundles for modality in (RGB, DEPTH))
    stamps = [bundle.stamp_ns for bundle in bundles]
    assert np.diff(stamps).tolist() == [400_000_000, 300_000_000, 400_000_000]
    assert stamps == [bundle.stamp_ns for bundle in references]


def test_the_images_of_a_pair_belong_together(bag):
    for bundle in open_references(bag, DEPTH, images=20):
        rgb, depth = bundle.image(RGB), bundle.image(DEPTH)
        assert depth.stamp_ns - rgb.stamp_ns == 2_000_000
        assert depth.pixels.dtype == np.uint16 and rgb.pixels.shape == (48, 64, 3)


def test_a_bag_without_the_other_modality_is_a_clear_error(bag):
    with pytest.raises(BagError, match='no topic that looks like thermal'):
        open_references(bag, THERMAL, images=4)
    with pytest.raises(BagError, match='a sensor profile needs both'):
        open_references(bag, THERMAL, images=4, topics={THERMAL: 'none'})


def test_frames_of_any_camera_are_recognised_and_depth_may_have_its_own_size(folder):
    references = open_references(folder, DEPTH, images=5)
    assert (references.found, len(references)) == (9, 5)
    bundles = list(references)
    assert {bundle.image(DEPTH).pixels.shape for bundle in bundles} == {(48, 64)}
    assert [bundle.stamp_ns for bundle in bundles] == [0, 2, 4, 6, 8]


def test_a_folder_in_no_layout_is_a_clear_error(tmp_path):
    with pytest.raises(DatasetError, match='no known layout'):
        open_references(tmp_path, DEPTH, images=5)
