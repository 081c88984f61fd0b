from pathlib import Path

import cv2
import numpy as np
import pytest

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.sources import file_shots, find_image_files, Shot, START_NS, synthetic_shots, write_shots
from rsgmamba_ros.data.bags.topics import find_topics
from rsgmamba_ros.data.messages.images import LABELS
from rsgmamba_ros.data.messages.recorded_images import RecordedLabelMap
from rsgmamba_ros.vocabulary.errors import DatasetError
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH, THERMAL = Modality.RGB, Modality.DEPTH, Modality.THERMAL
SHARED = Path(__file__).parents[4] / 'shared' / 'data'


def read(path, auxiliary):
    """Decoded images by modality, and label maps as they are recorded."""
    images = {}
    with BagReader(path) as bag:
        for image in bag.images_and_label_maps(find_topics(bag, auxiliary=auxiliary, named={})):
            if isinstance(image, RecordedLabelMap):
                images.setdefault(LABELS, []).append(image)
            else:
                images.setdefault(image.modality, []).append(image.decode())
    return images


@pytest.mark.parametrize('auxiliary', [DEPTH, THERMAL])
@pytest.mark.parametrize('compressed', [False, True])
def test_a_synthetic_bag_holds_its_scenes(tmp_path, auxiliary, compressed):
    shots = list(synthetic_shots(3, seed=5, rate_hz=10, height=48, width=64, auxiliary=auxiliary))
    assert write_shots(tmp_path / 'bag', shots, auxiliary=auxiliary, rate_hz=10, compressed=compressed) == 3
    images = read(tmp_path / 'bag', auxiliary)
    assert set(images) == {RGB, auxiliary, LABELS}
    for index, shot in enumerate(shots):
        rgb, other, labels = (images[modality][index] for modality in (RGB, auxiliary, LABELS))
        assert np.abs(rgb.pixels.astype(int) - shot.rgb).mean() < (8 if compressed else 1e-9)
        np.testing.assert_array_equal(other.pixels, shot.auxiliary)
        np.testing.assert_array_equal(labels.decode(), shot.label_map)
        assert other.encoding == shot.encoding
        assert rgb.stamp_ns == labels.stamp_ns == START_NS + index * 100_000_000
        assert 0 < other.stamp_ns - rgb.stamp_ns < 5_000_000
        assert other.received_ns > rgb.received_ns > rgb.stamp_ns


def write_images(folder, layout):
    rng = np.random.default_rng(0)
    for index in range(3):
        rgb, depth = rng.integers(0, 256, (8, 10, 3), np.uint8), rng.integers(1, 5000, (8, 10), np.uint16)
        depth[0, 0] = 65535
        names = {'7scenes': ('frame-{0:06}.color.png', 'frame-{0:06}.depth.png', None),
                 'nyu': ('rgb/{0}.jpg', 'depth/{0}.png', 'label13/{0}.png')}[layout]
        for name, pixels in zip(names, (rgb, depth, depth.astype(np.uint8))):
            if name:
                path = folder / name.format(index)
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), pixels)
    return folder


@pytest.mark.parametrize(('layout', 'labelled'), [('7scenes', False), ('nyu', True)])
def test_folders_of_images_become_bags(tmp_path, layout, labelled):
    files = find_image_files(write_images(tmp_path / 'images', layout), DEPTH)
    write_shots(tmp_path / 'bag', file_shots(files, DEPTH), auxiliary=DEPTH, rate_hz=30)
    images = read(tmp_path / 'bag', DEPTH)
    assert {modality: len(items) for modality, items in images.items()} == (
        {RGB: 3, DEPTH: 3, LABELS: 3} if labelled else {RGB: 3, DEPTH: 3})
    assert images[DEPTH][0].encoding == '16UC1'
    assert images[DEPTH][0].pixels[0, 0] == 0  # 65535 is 7-Scenes' invalid


def test_a_compressed_bag_carries_the_jpeg_of_the_folder_unchanged(tmp_path):
    folder = write_images(tmp_path / 'images', 'nyu')
    files = find_image_files(folder, DEPTH)
    write_shots(tmp_path / 'bag', file_shots(files, DEPTH), auxiliary=DEPTH, rate_hz=30, compressed=True)
    with BagReader(tmp_path / 'bag') as bag:
        image = next(bag.images({'/rgb/image/compressed': RGB}))
    assert bytes(image.message.data) == files[0].rgb.read_bytes()


def test_a_folder_in_no_layout_says_what_was_looked_for(tmp_path):
    with pytest.raises(DatasetError, match=r'\*\.color\.\*.*rgb/ beside thermal/'):
        find_image_files(tmp_path, THERMAL)


def test_a_damaged_file_is_named(tmp_path):
    folder = write_images(tmp_path / 'images', 'nyu')
    (folder / 'depth' / '1.png').write_bytes(b'nothing')
    with pytest.raises(DatasetError, match=r'1\.png is no image'):
        list(file_shots(find_image_files(folder, DEPTH), DEPTH))


@pytest.mark.skipif(not SHARED.exists(), reason='the folder of real images (../shared/data) is absent')
@pytest.mark.parametrize(('folder', 'auxiliary', 'size', 'labelled'), [
    ('sevenscenes', DEPTH, (480, 640), False), ('nyuv2', DEPTH, (240, 320), True), ('msrs', THERMAL, (480, 640), True)])
def test_real_folders_are_in_a_known_layout(folder, auxiliary, size, labelled):
    files = find_image_files(SHARED / folder, auxiliary)
    shot: Shot = next(file_shots(files, auxiliary))
    assert len(files) >= 50
    assert shot.rgb.shape == (*size, 3)
    assert shot.auxiliary.shape == size
    assert (shot.label_map is not None) is labelled
