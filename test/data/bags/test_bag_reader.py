import os
from pathlib import Path
import shutil
from unittest.mock import patch

import cv2
import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Rosbag1Writer
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores
import yaml

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.topics import find_topics, NONE
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.data.messages.images import LABELS
from rsgmamba_ros.vocabulary.errors import BagError, ImageError
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH, THERMAL = Modality.RGB, Modality.DEPTH, Modality.THERMAL
TOPICS = {'/rgb/image': RGB, '/depth/image': DEPTH}
PERIOD_NS = 33_000_000
START_NS = 1_700_000_000_000_000_000
COLOURS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def depth(index):
    return np.full((24, 32), 1000 + index, np.uint16)


def write_bag(path, *, count=6, first=0, topics=('/rgb/image', '/depth/image'), **kwargs):
    with BagWriter(path, **kwargs) as bag:
        for index in range(first, first + count):
            stamp_ns = START_NS + index * PERIOD_NS
            bag.write_image(topics[0], COLOURS, encoding='rgb8', stamp_ns=stamp_ns, received_ns=stamp_ns + 5_000_000,
                            frame_id='camera')
            bag.write_image(topics[1], depth(index), encoding='16UC1', stamp_ns=stamp_ns + 1_000_000,
                            received_ns=stamp_ns + 8_000_000, frame_id='camera')
    return path


def read(path, topics=TOPICS):
    with BagReader(path) as bag:
        images = [(image.topic, image.received_ns, image.decode()) for image in bag.images(topics)]
        return images, bag.damage, dict(bag.skipped)


def check_images(images, count=6):
    assert [topic for topic, _, _ in images] == ['/rgb/image', '/depth/image'] * count
    assert [received_ns for _, received_ns, _ in images] == sorted(received_ns for _, received_ns, _ in images)
    for index, (_, received_ns, image) in enumerate(images):
        assert image.received_ns == received_ns
        assert image.stamp_ns == START_NS + index // 2 * PERIOD_NS + (index % 2) * 1_000_000
        assert image.frame_id == 'camera'
        expected = depth(index // 2) if index % 2 else COLOURS
        np.testing.assert_array_equal(image.pixels, expected)


@pytest.mark.parametrize(('storage', 'compression'), [
    ('mcap', 'none'), ('mcap', 'storage'), ('mcap', 'message'), ('mcap', 'file'),
    ('sqlite3', 'none'), ('sqlite3', 'message'), ('sqlite3', 'file')])
def test_every_ros2_storage_gives_the_same_images(tmp_path, storage, compression):
    images, damage, skipped = read(write_bag(tmp_path / 'bag', storage=storage, compression=compression))
    check_images(images)
    assert (damage, skipped) == ([], {})


@pytest.mark.parametrize('suffix', ['mcap', 'db3'])
def test_a_storage_file_is_read_without_its_folder(tmp_path, suffix):
    bag = write_bag(tmp_path / 'bag', storage={'mcap': 'mcap', 'db3': 'sqlite3'}[suffix])
    check_images(read(bag / f'bag.{suffix}')[0])


def split_bag(tmp_path, *, metadata=True):
    """Two bags put together as rosbag2 splits one."""
    parts = [write_bag(tmp_path / f'part_{index}', count=3, first=3 * index) for index in range(2)]
    bag = tmp_path / 'split'
    bag.mkdir()
    for index, part in enumerate(parts):
        shutil.copy(next(part.glob('*.mcap')), bag / f'bag_{index}.mcap')
    if metadata:
        document = yaml.safe_load((parts[0] / 'metadata.yaml').read_text())
        information = document['rosbag2_bagfile_information']
        information['relative_file_paths'] = ['bag_0.mcap', 'bag_1.mcap']
        information['message_count'] *= 2
        information['duration']['nanoseconds'] += 3 * PERIOD_NS
        (bag / 'metadata.yaml').write_text(yaml.safe_dump(document))
    return bag


@pytest.mark.parametrize('metadata', [True, False])
def test_a_split_bag_is_one_bag(tmp_path, metadata):
    images, damage, _ = read(split_bag(tmp_path, metadata=metadata))
    check_images(images)
    assert bool(damage) is not metadata


def write_ros1_bag(path, *, compressed=False):
    store = get_typestore(Stores.ROS1_NOETIC)
    kind = 'sensor_msgs/msg/CompressedImage' if compressed else 'sensor_msgs/msg/Image'
    writer = Rosbag1Writer(path)
    writer.set_compression(Rosbag1Writer.CompressionFormat.LZ4)
    with writer:
        connections = [writer.add_connection(topic, kind, typestore=store) for topic in TOPICS]
        for index in range(6):
            for connection, (pixels, encoding, delay) in zip(connections, (
                    (COLOURS, 'rgb8', 0), (depth(index), '16UC1', 1_000_000))):
                stamp_ns = START_NS + index * PERIOD_NS + delay
                header = store.types['std_msgs/msg/Header'](
                    seq=index, stamp=store.types['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 10**9)),
                    frame_id='camera')
                if compressed:
                    data = cv2.imencode('.png', pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].reshape(-1)
                    message = store.types[kind](header=header, format=f'{encoding}; png compressed', data=data)
                else:
                    message = store.types[kind](header=header, height=24, width=32, encoding=encoding, is_bigendian=0,
                                                step=pixels.strides[0], data=pixels.reshape(-1).view(np.uint8))
                writer.write(connection, stamp_ns + 5_000_000, store.serialize_ros1(message, kind))
    return path


@pytest.mark.parametrize('compressed', [False, True])
def test_a_ros1_bag_gives_the_same_images(tmp_path, compressed):
    check_images(read(write_ros1_bag(tmp_path / 'old.bag', compressed=compressed))[0])


def test_a_ros1_bag_is_played_as_ros2_messages(tmp_path):
    write_bag(tmp_path / 'new')
    with BagReader(write_ros1_bag(tmp_path / 'old.bag')) as old, BagReader(tmp_path / 'new') as new:
        messages = [{(topic, kind, raw) for topic, kind, _, raw in bag.serialised(set(TOPICS))} for bag in (old, new)]
    assert len(messages[0]) == 12
    assert messages[0] == messages[1]


def test_topics_and_times_are_known_before_reading(tmp_path):
    with BagReader(write_bag(tmp_path / 'bag')) as bag:
        assert [(topic.name, topic.count) for topic in bag.image_topics] == [('/depth/image', 6), ('/rgb/image', 6)]
        assert bag.start_ns == START_NS + 5_000_000
        assert bag.end_ns == START_NS + 5 * PERIOD_NS + 8_000_000


def test_an_mcap_without_its_end_is_read_to_the_cut(tmp_path):
    path = next(write_bag(tmp_path / 'bag', count=900).glob('*.mcap'))  # 900 pairs of 4 KiB are several chunks
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(path.read_bytes()[:path.stat().st_size * 3 // 4])
    images, damage, _ = read(cut)
    assert 300 < len(images) // 2 < 900
    check_images(images[:len(images) // 2 * 2], len(images) // 2)
    assert 'cut.mcap is cut off' in damage[-1]


def test_a_recording_that_lost_its_metadata_is_read(tmp_path):
    bag = write_bag(tmp_path / 'bag')
    (bag / 'metadata.yaml').unlink()
    images, damage, _ = read(bag)
    check_images(images)
    assert 'metadata' in damage[0]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('size', [0, 7, 3000, 60_000])
def test_a_cut_off_bag_is_one_clear_error_or_read_in_part(tmp_path, storage, size):
    bag = write_bag(tmp_path / 'bag', count=30, storage=storage)
    path = next(path for path in bag.iterdir() if path.name != 'metadata.yaml')
    path.write_bytes(path.read_bytes()[:size])
    try:
        images, damage, _ = read(bag)
    except BagError as error:
        assert '\n' not in str(error)
        assert path.name in str(error) or 'no topic' in str(error)
    else:
        assert damage
        check_images(images[:len(images) // 2 * 2], len(images) // 2)


@pytest.mark.parametrize('name', ['nothing.mcap', 'nothing', 'notes.txt', 'folder', 'garbage.bag', 'garbage.db3'])
def test_what_is_no_bag_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / name
    if name == 'folder':
        path.mkdir()
    elif not name.startswith('nothing'):
        path.write_bytes(b'this is no bag')
    with pytest.raises(BagError, match=name) as caught:
        BagReader(path)
    assert '\n' not in str(caught.value)


def test_a_missing_topic_lists_the_image_topics(tmp_path):
    with BagReader(write_bag(tmp_path / 'bag')) as bag, pytest.raises(BagError, match=r"'/rgb'.*/rgb/image .*6\)"):
        next(bag.images({'/rgb': RGB}))


def test_a_topic_of_another_type_is_refused(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.write('/chatter', 'std_msgs/msg/Header', writer.header(1), received_ns=1)
    with BagReader(tmp_path / 'bag') as bag, pytest.raises(BagError, match='carries std_msgs/msg/Header'):
        next(bag.images({'/chatter': RGB}))


def test_a_cut_short_message_is_skipped_and_counted(tmp_path):
    write_bag(tmp_path / 'whole', count=1)
    with Reader(tmp_path / 'whole') as reader:
        raw = next(raw for connection, _, raw in reader.messages() if connection.topic == '/rgb/image')
    with BagWriter(tmp_path / 'bag') as writer:
        writer.write_image('/rgb/image', COLOURS, encoding='rgb8', stamp_ns=1, received_ns=1)
        writer._writer.write(writer._connections['/rgb/image'], 2, raw[:100])
        writer.write_image('/rgb/image', COLOURS, encoding='rgb8', stamp_ns=3, received_ns=3)
    images, _, skipped = read(tmp_path / 'bag', {'/rgb/image': RGB})
    assert [image.stamp_ns for _, _, image in images] == [1, 3]
    assert skipped == {'/rgb/image: no whole message': 1}


def test_the_encoding_is_checked_when_the_image_is_decoded(tmp_path):
    with BagReader(write_bag(tmp_path / 'bag')) as bag:
        image = next(bag.images({'/rgb/image': DEPTH}))
        with pytest.raises(ImageError, match='rgb8'):
            image.decode()


def write_topics(path: Path, **encodings):
    with BagWriter(path) as bag:
        for index, (name, encoding) in enumerate(encodings.items()):
            topic = '/' + name.replace('__', '/')
            if encoding == 'jpeg':
                bag.write_compressed_image(topic, b'', format='jpeg', stamp_ns=0, received_ns=index)
            else:
                dtype = {'rgb8': np.uint8, 'mono8': np.uint8, '16UC1': np.uint16, '32FC1': np.float32}[encoding]
                shape = (2, 2, 3) if encoding == 'rgb8' else (2, 2)
                bag.write_image(topic, np.zeros(shape, dtype), encoding=encoding, stamp_ns=0, received_ns=index)
    return BagReader(path)


@pytest.mark.parametrize(('auxiliary', 'encodings', 'expected'), [
    (DEPTH, {'a': 'rgb8', 'b': '16UC1'}, {'/a': RGB, '/b': DEPTH}),
    (DEPTH, {'a': 'jpeg', 'b': '32FC1', 'ground_truth': 'mono8'}, {'/a': RGB, '/b': DEPTH, '/ground_truth': LABELS}),
    (THERMAL, {'a': 'rgb8', 'b': 'mono8', 'labels': 'mono8'}, {'/a': RGB, '/b': THERMAL, '/labels': LABELS}),
    (DEPTH, {'rgb': 'rgb8', 'depth': '16UC1', 'thermal': '16UC1'}, {'/rgb': RGB, '/depth': DEPTH}),
    (THERMAL, {'rgb': 'rgb8', 'depth': '16UC1', 'thermal': '16UC1'}, {'/rgb': RGB, '/thermal': THERMAL}),
    (DEPTH, {'rgb__image': 'rgb8', 'rgb__image__compressed': 'jpeg', 'd': '16UC1'}, {'/rgb/image': RGB, '/d': DEPTH})])
def test_topics_are_found_by_type_and_encoding(tmp_path, auxiliary, encodings, expected):
    with write_topics(tmp_path / 'bag', **encodings) as bag:
        assert find_topics(bag, auxiliary=auxiliary, named={}) == expected


def test_ambiguous_topics_are_listed(tmp_path):
    with write_topics(tmp_path / 'bag', left='rgb8', right='rgb8', depth='16UC1') as bag:
        with pytest.raises(BagError, match='several topics that could be rgb: /left .* /right .*--rgb-topic'):
            find_topics(bag, auxiliary=DEPTH, named={})
        assert find_topics(bag, auxiliary=DEPTH, named={RGB: '/right'}) == {'/right': RGB, '/depth': DEPTH}


def test_a_modality_without_a_topic_is_an_error_unless_it_is_left_out(tmp_path):
    with write_topics(tmp_path / 'bag', left='rgb8') as bag:
        with pytest.raises(BagError, match='no topic that looks like depth.*--aux-topic'):
            find_topics(bag, auxiliary=DEPTH, named={})
        assert find_topics(bag, auxiliary=DEPTH, named={DEPTH: NONE}) == {'/left': RGB}
        with pytest.raises(BagError, match='no topic is left'):
            find_topics(bag, auxiliary=DEPTH, named={DEPTH: NONE, RGB: NONE})


def header_fields(images):
    return [(image.topic, image.received_ns, image.stamp_ns, image.message.frame_id, image.message.encoding,
             image.message.height, image.message.width, image.message.step) for image in images]


def check_headers(path):
    with BagReader(path) as bag:
        with_pixels, headers = list(bag.images(TOPICS)), list(bag.headers(TOPICS))
    assert header_fields(headers) == header_fields(with_pixels) != []
    assert not any(image.message.data for image in headers)
    with pytest.raises(ImageError):
        headers[0].decode()


@pytest.mark.parametrize(('storage', 'compression'), [
    ('mcap', 'none'), ('mcap', 'storage'), ('mcap', 'message'), ('mcap', 'file'), ('sqlite3', 'none')])
def test_headers_are_those_of_the_images(tmp_path, storage, compression):
    check_headers(write_bag(tmp_path / 'bag', storage=storage, compression=compression, count=300))


@pytest.mark.parametrize('metadata', [True, False])
def test_headers_of_split_bags_are_those_of_the_images(tmp_path, metadata):
    check_headers(split_bag(tmp_path, metadata=metadata))


def test_headers_of_ros1_bags_are_those_of_the_images(tmp_path):
    check_headers(write_ros1_bag(tmp_path / 'old.bag'))


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_headers_come_in_receive_order_even_if_they_were_written_in_another(tmp_path, storage):
    order = np.random.default_rng(0).permutation(600)
    with BagWriter(tmp_path / 'bag', storage=storage) as bag:
        for index in order:
            bag.write_image(list(TOPICS)[index % 2], depth(0) if index % 2 else COLOURS, frame_id='x' * (index % 700),
                            encoding='16UC1' if index % 2 else 'rgb8', stamp_ns=int(index), received_ns=int(index // 3))
    check_headers(tmp_path / 'bag')


@pytest.mark.parametrize('compression', ['none', 'storage'])
def test_messages_are_those_that_rosbags_reads(tmp_path, compression):
    order = np.random.default_rng(0).permutation(400)
    with BagWriter(tmp_path / 'bag', compression=compression) as bag:
        for index in order:
            pixels = np.full((5 + index % 40, 64), index, np.uint16)
            bag.write_image(list(TOPICS)[index % 2], pixels, encoding='16UC1', stamp_ns=int(index),
                            received_ns=int(index))
    with Reader(tmp_path / 'bag') as reader:
        expected = [(connection.topic, time_ns, bytes(raw)) for connection, time_ns, raw in reader.messages()]
    with BagReader(tmp_path / 'bag') as bag:
        assert [(topic, time_ns, raw) for topic, _, time_ns, raw in bag.serialised(set(TOPICS))] == expected


def test_messages_that_lie_beyond_the_end_of_the_file_are_counted(tmp_path):
    path = next(write_bag(tmp_path / 'bag').glob('*.mcap'))
    pread = os.pread
    with BagReader(path) as bag, patch.object(os, 'pread', lambda *arguments: pread(*arguments)[:1000]):
        assert list(bag.images(TOPICS)) == []
        assert bag.skipped == {f'{topic}: in a damaged part of the bag': 6 for topic in TOPICS}
