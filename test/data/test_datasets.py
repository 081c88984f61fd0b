from dataclasses import replace
import os
from pathlib import Path
import struct
import zlib

import cv2
import numpy as np
import pytest

from rsgmamba_ros.cli.main import main
from rsgmamba_ros.data.datasets import open_dataset, recognise
from rsgmamba_ros.data.folder_dataset import FolderDataset
from rsgmamba_ros.data.layouts import layout_names, load_layout
from rsgmamba_ros.vocabulary.errors import ConfigError, DatasetError
from rsgmamba_ros.vocabulary.images import Modality

#: `RSGMAMBA_DAMAGES=1000` takes more damages than the few that every run takes.
DAMAGES = int(os.environ.get('RSGMAMBA_DAMAGES', '40'))
SHARED = Path(__file__).resolve().parents[3] / 'shared' / 'data'
SIZE = (24, 32)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def rgb(value: tuple[int, int, int] = (10, 120, 250)) -> np.ndarray:
    """In the order of OpenCV."""
    return np.full((*SIZE, 3), value[::-1], np.uint8)


def labels(*values: int) -> np.ndarray:
    image = np.zeros(SIZE, np.uint8)
    image[0, :len(values)] = values
    return image


@pytest.fixture
def rgbx(tmp_path) -> Path:
    depth = np.full(SIZE, 1500, np.uint16)
    depth[0, :2] = 0, 65535
    for name in ('0001', '0002'):
        write(tmp_path / 'RGB' / f'{name}.jpg', rgb())
        write(tmp_path / 'Depth' / f'{name}.png', depth)
        write(tmp_path / 'Label' / f'{name}.png', labels(0, 1, 40, 41))
    (tmp_path / 'train.txt').write_text('RGB/0001.jpg Label/0001.png\n')
    (tmp_path / 'test.txt').write_text('0002\n\n')
    return tmp_path


def test_every_layout_that_is_shipped_can_be_read():
    assert len(layout_names()) >= 8
    for name in layout_names():
        assert load_layout(name).auxiliary in (Modality.DEPTH, Modality.THERMAL)


def test_an_rgbx_folder_is_recognised_and_its_labels_start_at_one(rgbx):
    dataset = recognise(rgbx)
    assert dataset.layout == load_layout('nyu_rgbx_40') and dataset.names == ['0002']
    sample = dataset[0]
    assert sample.label_map[0, :5].tolist() == [255, 0, 39, 255, 255]
    np.testing.assert_allclose(sample.auxiliary[0, :3], [np.nan, np.nan, 1.5], rtol=1e-6)
    # JPEG is not exact; the order of the channels is.
    np.testing.assert_allclose(sample.rgb[5, 5], (10, 120, 250), atol=8)


def test_wanted_classes_decide_between_layouts_that_look_alike(rgbx):
    names = load_layout('sun_rgbd').labels.names
    assert open_dataset(str(rgbx), split='train', names=names).labels.names == names


def test_a_list_may_hold_paths_and_may_lie_anywhere(rgbx, tmp_path):
    assert FolderDataset(rgbx, load_layout('sun_rgbd'), split='train').names == ['0001']
    (tmp_path / 'mine.txt').write_text('0002\n0001\n')
    for split in (str(tmp_path / 'mine.txt'), 'mine'):
        assert FolderDataset(rgbx, load_layout('sun_rgbd'), split=split).names == ['0002', '0001']


def test_mfnet_has_thermal_as_fourth_channel(tmp_path):
    image = np.dstack([rgb((1, 2, 3)), np.full(SIZE, 77, np.uint8)])
    write(tmp_path / 'images' / '00001D.png', image)
    write(tmp_path / 'labels' / '00001D.png', labels(1, 8))
    (tmp_path / 'test.txt').write_text('00001D\n')
    dataset = recognise(tmp_path, auxiliary=Modality.THERMAL)
    sample = dataset[0]
    assert sample.rgb[3, 3].tolist() == [1, 2, 3] and (sample.auxiliary == 77).all()
    assert dataset.labels.names[1] == 'car' and sample.label_map[0, :2].tolist() == [1, 8]


def test_pst900_has_a_folder_for_each_split(tmp_path):
    for split, name in (('train', 'a'), ('test', 'b')):
        write(tmp_path / split / 'rgb' / f'{name}.png', rgb())
        write(tmp_path / split / 'thermal' / f'{name}.png', np.full(SIZE, 99, np.uint8))
        write(tmp_path / split / 'labels' / f'{name}.png', labels(4))
    assert recognise(tmp_path).names == ['b']
    assert FolderDataset(tmp_path, load_layout('pst900'), split='train')[0].label_map[0, 0] == 4


def test_what_was_looked_for_is_said(rgbx, tmp_path):
    (rgbx / 'Depth' / '0002.png').unlink()
    with pytest.raises(DatasetError, match=r"sample '0002' .*looked for '.*Depth/0002'.*\.png, \.jpg"):
        FolderDataset(rgbx, load_layout('nyu_rgbx_40'))
    with pytest.raises(DatasetError, match=r'no known layout.*pst900: looked for the folder'):
        recognise(tmp_path / 'RGB')
    with pytest.raises(DatasetError, match='is no folder'):
        open_dataset(str(tmp_path / 'nothing'))
    with pytest.raises(ConfigError, match='unknown; known'):
        load_layout('nyu')


def test_damaged_colour_and_unequal_images_are_named(rgbx):
    dataset = FolderDataset(rgbx, load_layout('nyu_rgbx_40'))
    write(rgbx / 'Label' / '0002.png', rgb())
    with pytest.raises(DatasetError, match='one class index a pixel'):
        dataset[0]
    write(rgbx / 'Label' / '0002.png', np.zeros((8, 8), np.uint8))
    with pytest.raises(DatasetError, match='is 8x8, its RGB image 24x32'):
        dataset[0]
    (rgbx / 'RGB' / '0002.jpg').write_bytes(b'no image')
    with pytest.raises(DatasetError, match='0002.jpg cannot be decoded: 8 bytes are no PNG'):
        dataset[0]


def test_dataset_check_counts_and_names_what_is_unusable(rgbx, capsys):
    assert main(['dataset', 'check', str(rgbx)]) == 0
    shown = capsys.readouterr().out
    assert 'samples: 1, of them unusable: 0' in shown and '24x32 (1)' in shown and '16 bit u x 1 (1)' in shown
    (rgbx / 'test.txt').write_text('0002\n0009\n')
    assert main(['dataset', 'check', str(rgbx)]) == 1
    captured = capsys.readouterr()
    assert 'of them unusable: 1' in captured.out and '0009' in captured.err


@pytest.mark.skipif(not (SHARED / 'nyuv2').is_dir(), reason='../shared/data is not there')
def test_the_shared_nyu_folder_has_thirteen_classes_and_327_test_samples():
    dataset = recognise(SHARED / 'nyuv2')
    assert len(dataset) == 327 and len(dataset.labels) == 13
    sample = dataset[0]
    assert sample.rgb.shape == (240, 320, 3) and 0.5 < np.nanmedian(sample.auxiliary) < 10
    assert set(np.unique(sample.label_map)) <= {*range(13), 255}


def test_an_unlabelled_sequence_knows_what_came_before(tmp_path):
    for moment in range(3):
        write(tmp_path / f'frame-00000{moment}.color.png', rgb((moment, 0, 0)))
        write(tmp_path / f'frame-00000{moment}.depth.png', np.full(rgb().shape[:2], 1000 + moment, np.uint16))
        (tmp_path / f'frame-00000{moment}.pose.txt').write_text('1 0 0 0')
    dataset = open_dataset(str(tmp_path), names=('bed', 'sofa'))
    assert dataset.names == ['000000', '000001', '000002'] and not dataset.is_labelled
    assert (dataset[2].label_map == dataset.labels.ignore_index).all()
    assert [dataset[index].earlier.name for index in range(3)] == ['000001', '000000', '000001']
    np.testing.assert_allclose(dataset[1].earlier.auxiliary, 1.0)


@pytest.mark.parametrize('path, content', [('Label/0002.png', labels(5)), ('RGB/0002.jpg', rgb((1, 2, 3)))])
def test_the_digest_of_a_folder_changes_with_its_images_and_their_list(rgbx, path, content):
    before = recognise(rgbx).digest
    assert recognise(rgbx).digest == before != recognise(rgbx, split='train').digest
    write(rgbx / path, content)
    assert recognise(rgbx).digest != before


def test_depth_of_8_bits_is_not_taken_for_millimetres(rgbx):
    write(rgbx / 'Depth' / '0002.png', np.full(SIZE, 90, np.uint8))
    dataset = FolderDataset(rgbx, load_layout('sun_rgbd'), split='test')
    with pytest.raises(DatasetError, match=r'0002.png has 8 bits a pixel.*depth_unit_m'):
        dataset[0]
    stated = FolderDataset(rgbx, replace(load_layout('sun_rgbd'), depth_unit_m=0.04), split='test')
    np.testing.assert_allclose(stated[0].auxiliary[5, 5], 3.6)


def test_a_sample_of_one_row_is_unusable(rgbx):
    for path in ('RGB/0002.jpg', 'Depth/0002.png', 'Label/0002.png'):
        image = cv2.imread(str(rgbx / path), cv2.IMREAD_UNCHANGED)
        write(rgbx / path, image[:1])
    with pytest.raises(DatasetError, match='0002.jpg is 1x32'):
        FolderDataset(rgbx, load_layout('sun_rgbd'), split='test')[0]


@pytest.mark.parametrize(('name', 'line'), [
    ('1311868164.363181', '1311868164.363181 rgb/1311868164.363181.png'), ('1311868164.36', '1311868164.36'),
    ('living room 1', 'living room 1'), ('living room 1', 'RGB/living room 1.jpg'), ('a.b.c', 'a.b.c 0.5')])
@pytest.mark.parametrize('start', ['', '\ufeff', '# stamp file\n'])
@pytest.mark.parametrize('ending', ['.jpg', '.JPG', '.PNG'])
def test_names_with_dots_and_spaces_comments_and_endings_in_capitals_are_found(rgbx, name, line, start, ending):
    write(rgbx / 'RGB' / f'{name}{ending}', rgb())
    for folder in ('Depth', 'Label'):
        (rgbx / folder / '0001.png').rename(rgbx / folder / f'{name}.PNG')
    (rgbx / 'train.txt').write_text(f'{start}{line}\n\n', encoding='utf-8')
    dataset = FolderDataset(rgbx, load_layout('sun_rgbd'), split='train')
    assert dataset.names == [name]
    assert dataset[0].label_map.shape == SIZE


def palette_png(indices: np.ndarray, *, bits: int = 8) -> bytes:
    """A PNG with a palette, as labelme and CVAT write label images."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))
    height, width = indices.shape
    rows = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits:].reshape(-1)).tobytes() for row in indices]
    colours = np.random.default_rng(0).integers(0, 256, (2**bits, 3), np.uint8).tobytes()
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>II5B', width, height, bits, 3, 0, 0, 0))
            + chunk(b'PLTE', colours) + chunk(b'tRNS', bytes(2**bits))
            + chunk(b'IDAT', zlib.compress(b''.join(b'\0' + row for row in rows))) + chunk(b'IEND', b''))


@pytest.mark.parametrize('bits', [2, 4, 8])
def test_label_images_with_a_palette_hold_indices(rgbx, bits):
    indices = labels(0, 1, 2, 3)
    (rgbx / 'Label' / '0002.png').write_bytes(palette_png(indices, bits=bits))
    sample = FolderDataset(rgbx, load_layout('sun_rgbd'), split='test')[0]
    write(rgbx / 'Label' / '0002.png', indices)
    np.testing.assert_array_equal(sample.label_map,
                                  FolderDataset(rgbx, load_layout('sun_rgbd'), split='test')[0].label_map)


@pytest.mark.parametrize('part', ['RGB/0002.jpg', 'Depth/0002.png', 'Label/0002.png', 'test.txt'])
def test_random_damage_of_a_folder_is_a_sample_or_one_clear_error(rgbx, part):
    good = (rgbx / part).read_bytes()
    for seed in range(DAMAGES):
        rng = np.random.default_rng(seed)
        data = np.frombuffer(good, np.uint8).copy()
        data[rng.integers(0, len(data), rng.integers(1, 6))] = rng.integers(0, 256)
        (rgbx / part).write_bytes(data[:rng.choice([len(data), rng.integers(0, len(data))])].tobytes())
        try:
            sample = FolderDataset(rgbx, load_layout('sun_rgbd'), split='test')[0]
        except DatasetError as error:
            assert '\n' not in str(error), f'seed {seed}'
        else:
            assert sample.rgb.shape[:2] == sample.auxiliary.shape == sample.label_map.shape, f'seed {seed}'


def test_images_of_every_depth_that_messages_have_are_read(rgbx):
    dataset = FolderDataset(rgbx, load_layout('sun_rgbd'), split='test')
    deep = (rgb().astype(np.uint16) << 8) + 255
    (rgbx / 'RGB' / '0002.jpg').unlink()
    write(rgbx / 'RGB' / '0002.png', deep)
    (rgbx / 'Depth' / '0002.png').unlink()
    write(rgbx / 'Depth' / '0002.tiff', np.full(SIZE, 1.5, np.float32))
    np.testing.assert_array_equal(dataset[0].rgb, rgb()[..., ::-1])
    np.testing.assert_allclose(dataset[0].auxiliary, 1.5)


def test_false_colours_are_no_measurements(rgbx):
    write(rgbx / 'Depth' / '0002.png', (rgb().astype(np.uint16) + np.arange(3, dtype=np.uint16) * 50))
    with pytest.raises(DatasetError, match='0002.png: image has colours where one channel is expected'):
        FolderDataset(rgbx, load_layout('sun_rgbd'), split='test')[0]


def test_an_image_of_a_hostile_size_is_refused_before_it_is_decoded(rgbx, monkeypatch):
    content = palette_png(labels(1))
    hostile = content[:16] + struct.pack('>II', 32000, 32000) + content[24:]
    (rgbx / 'RGB' / '0002.jpg').write_bytes(hostile)
    dataset = FolderDataset(rgbx, load_layout('sun_rgbd'), split='test')
    monkeypatch.setattr(cv2, 'imdecode', lambda *arguments: pytest.fail('decoded'))
    with pytest.raises(DatasetError, match='0002.jpg is 32000x32000; at most'):
        dataset[0]
