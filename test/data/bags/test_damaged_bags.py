"""Bags in the states in which recorders, converters and people leave them."""
from pathlib import Path
import shutil
import sqlite3
import struct
import zlib

from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
import numpy as np
import pytest
from rosbags.typesys import get_typestore, Stores
import yaml
import zstandard

from rsgmamba_ros.data.bags import compression
from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.data.messages.definitions import typestore
from rsgmamba_ros.data.messages.serialised_images import IMAGE_TYPE
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import Modality

TOPICS = {'/rgb/image': Modality.RGB, '/depth/image': Modality.DEPTH}
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (48, 64, 3), np.uint8)
DEPTH = RNG.integers(500, 5000, (48, 64), np.uint16)


def write_bag(path, *, count=10, first=0, **kwargs):
    with BagWriter(path, **kwargs) as bag:
        for index in range(first, first + count):
            header = {'stamp_ns': START_NS + index * PERIOD_NS, 'received_ns': START_NS + index * PERIOD_NS}
            bag.write_image('/rgb/image', COLOURS, encoding='rgb8', **header)
            bag.write_image('/depth/image', DEPTH, encoding='16UC1', **header)
    return path


def storage_file(bag):
    return next(path for path in bag.iterdir() if path.name != 'metadata.yaml')


class Read:
    """What a reader gives of a bag: images by topic, and again without pixels."""

    def __init__(self, path):
        with BagReader(path) as bag:
            images = list(bag.images(TOPICS))
            self.counts = {topic: sum(image.topic == topic for image in images) for topic in TOPICS}
            self.stamps = [image.stamp_ns for image in images]
            for image in images:
                np.testing.assert_array_equal(image.decode().pixels, COLOURS if image.topic == '/rgb/image' else DEPTH)
            self.damage, self.is_whole, self.lost = list(bag.damage), bag.is_whole, bag.lost
            self.skipped, self.start_ns = dict(bag.skipped), bag.start_ns
            assert [image.stamp_ns for image in bag.headers(TOPICS)] == self.stamps


def check_all(path, count=10, *, damage=''):
    found = Read(path)
    assert found.counts == dict.fromkeys(TOPICS, count)
    assert (found.is_whole, found.lost) == (True, 0)
    assert damage in ' '.join(found.damage)
    assert bool(damage) == bool(found.damage)


def edit_metadata(bag, change):
    path = bag / 'metadata.yaml'
    document = yaml.safe_load(path.read_text())
    change(document['rosbag2_bagfile_information'])
    path.write_text(yaml.safe_dump(document))


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('profiles', ['', '- depth: 7', '- reliability: reliable\n  depth: 100', 'nonsense: [', 5])
def test_topics_are_matched_by_name_whatever_metadata_says_about_qos(tmp_path, storage, profiles):
    bag = write_bag(tmp_path / 'bag', storage=storage)

    def change(information):
        for topic in information['topics_with_message_count']:
            topic['topic_metadata']['offered_qos_profiles'] = profiles
    edit_metadata(bag, change)
    check_all(bag)


def test_times_come_from_the_messages(tmp_path):
    bag = write_bag(tmp_path / 'bag')

    def change(information):
        information['starting_time']['nanoseconds_since_epoch'] += 10**9
        information['duration']['nanoseconds'] //= 2
    edit_metadata(bag, change)
    check_all(bag)
    assert Read(bag).start_ns == START_NS


def messages_of(bag):
    with BagReader(bag) as reader:
        return [(topic, received_ns, raw) for topic, _, received_ns, raw in reader.serialised(set(TOPICS))]


def write_mcap(path, messages, *, schema=IMAGE_TYPE, encoding='cdr', profile='ros2', extra=False, **options):
    """An MCAP file as other tools than rosbag2 write it."""
    with path.open('wb') as stream:
        writer = McapWriter(stream, chunk_size=20_000, **options)
        writer.start(profile=profile, library='test')
        schema_id = writer.register_schema(schema, 'ros2msg', b'')
        channels = {topic: writer.register_channel(topic, encoding, schema_id) for topic in TOPICS}
        if extra:
            notes = writer.register_channel('/notes', 'json', 0)
            writer.add_message(notes, START_NS, b'{}', START_NS)
        for topic, received_ns, raw in messages:
            writer.add_message(channels[topic], received_ns, raw, received_ns)
        writer.finish()
    return path


NO_COMPRESSION = {'compression': CompressionType.NONE}


@pytest.mark.parametrize('options', [
    {'index_types': IndexType.CHUNK, **NO_COMPRESSION}, {'index_types': IndexType.CHUNK}, {'profile': ''},
    {'index_types': IndexType.NONE}, {'use_chunking': False}, {'use_statistics': False, **NO_COMPRESSION},
    {'repeat_channels': False, 'repeat_schemas': False}, {'compression': CompressionType.LZ4},
    {'use_summary_offsets': False, **NO_COMPRESSION}, {'extra': True}])
def test_an_mcap_file_is_read_whatever_its_index_has(tmp_path, options):
    messages = messages_of(write_bag(tmp_path / 'bag'))
    found = Read(write_mcap(tmp_path / 'other.mcap', messages, **options))
    assert found.counts == dict.fromkeys(TOPICS, 10)
    assert (found.is_whole, found.lost) == (True, 0)
    assert found.stamps == sorted(found.stamps)


def test_ros1_messages_in_an_mcap_file_are_read(tmp_path):
    store = get_typestore(Stores.ROS1_NOETIC)
    messages = []
    for topic, received_ns, raw in messages_of(write_bag(tmp_path / 'bag')):
        image = typestore().deserialize_cdr(raw, IMAGE_TYPE)
        header = store.types['std_msgs/msg/Header'](
            seq=3, stamp=store.types['builtin_interfaces/msg/Time'](image.header.stamp.sec, image.header.stamp.nanosec),
            frame_id='')
        old = store.types[IMAGE_TYPE](header=header, height=image.height, width=image.width, encoding=image.encoding,
                                      is_bigendian=0, step=image.step, data=image.data)
        messages.append((topic, received_ns, bytes(store.serialize_ros1(old, IMAGE_TYPE))))
    check_all(write_mcap(tmp_path / 'old.mcap', messages, schema='sensor_msgs/Image', encoding='ros1', profile='ros1'))


def damage_chunk(path, *, index):
    """Overwrite the middle of a chunk."""
    with path.open('rb') as stream:
        chunks = make_reader(stream).get_summary().chunk_indexes
    chunk = sorted(chunks, key=lambda chunk: chunk.chunk_start_offset)[index]
    data = bytearray(path.read_bytes())
    middle = chunk.chunk_start_offset + chunk.chunk_length // 2
    data[middle:middle + 64] = bytes(64)
    path.write_bytes(data)


@pytest.mark.parametrize('compression', [CompressionType.ZSTD, CompressionType.LZ4])
def test_a_damaged_chunk_is_skipped_and_its_messages_are_counted(tmp_path, compression):
    path = write_mcap(tmp_path / 'bad.mcap', messages_of(write_bag(tmp_path / 'bag')), compression=compression)
    damage_chunk(path, index=3)
    found = Read(path)
    assert 0 < found.lost <= 4
    assert sum(found.counts.values()) + found.lost == 20
    assert not found.is_whole
    assert sum(found.skipped.values()) == found.lost
    assert 'bad.mcap: the chunk at byte' in found.damage[0]


def test_a_message_whose_record_is_damaged_is_lost_alone(tmp_path):
    path = storage_file(write_bag(tmp_path / 'bag'))
    data = bytearray(path.read_bytes())
    start = data.index(struct.pack('<Q', START_NS + 4 * PERIOD_NS)) - 15  # of the record: opcode, length, channel, ...
    data[start + 1:start + 9] = b'\xff' * 8
    path.write_bytes(data)
    found = Read(path)
    assert sum(found.counts.values()) == 19
    assert found.lost == 1


@pytest.mark.parametrize('compression', [CompressionType.NONE, CompressionType.ZSTD])
def test_a_cut_mcap_file_with_a_channel_without_schema_is_read_to_the_cut(tmp_path, compression):
    path = write_mcap(tmp_path / 'cut.mcap', messages_of(write_bag(tmp_path / 'bag')), extra=True,
                      compression=compression)
    path.write_bytes(path.read_bytes()[:path.stat().st_size * 3 // 5])
    found = Read(path)
    assert 8 <= sum(found.counts.values()) <= 14
    assert not found.is_whole
    assert 'cut off' in found.damage[-1]


def test_a_damaged_summary_costs_no_message(tmp_path):
    path = storage_file(write_bag(tmp_path / 'bag'))
    data = bytearray(path.read_bytes())
    data[-40:-30] = bytes(10)
    path.write_bytes(data)
    check_all(path, damage='no index at its end')


def files_in(folder):
    return {path.name: (path.stat().st_mtime_ns, zlib.crc32(path.read_bytes())) for path in folder.iterdir()}


@pytest.mark.parametrize('has_index', [True, False])
@pytest.mark.parametrize('metadata', [True, False])
def test_messages_in_the_write_ahead_log_are_read_and_nothing_is_written(tmp_path, has_index, metadata):
    whole = write_bag(tmp_path / 'whole', storage='sqlite3')
    bag = tmp_path / 'killed'
    bag.mkdir()
    connection = sqlite3.connect(whole / 'whole.db3')
    connection.execute('PRAGMA journal_mode = WAL')
    connection.execute('PRAGMA wal_autocheckpoint = 0')
    rows = connection.execute('SELECT id, topic_id, timestamp, data FROM messages WHERE id > 10').fetchall()
    connection.execute('DELETE FROM messages WHERE id > 10')
    connection.commit()
    connection.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    connection.executemany('INSERT INTO messages (id, topic_id, timestamp, data) VALUES (?, ?, ?, ?)', rows)
    connection.commit()
    for path in whole.iterdir():
        if (has_index or not path.name.endswith('-shm')) and (metadata or path.suffix != '.yaml'):
            shutil.copy(path, bag / path.name)
    connection.close()
    before = files_in(bag)
    assert before['whole.db3-wal']
    check_all(bag, damage='' if metadata else 'no metadata.yaml')
    assert files_in(bag) == before


@pytest.mark.parametrize('metadata', [True, False])
def test_the_whole_files_of_a_split_bag_are_read_though_the_last_is_cut(tmp_path, metadata):
    bag = tmp_path / 'run'
    bag.mkdir()
    for index in range(4):
        part = write_bag(tmp_path / f'part_{index}', count=3, first=3 * index, storage='sqlite3')
        shutil.copy(part / f'part_{index}.db3', bag / f'run_{index}.db3')
    if metadata:
        shutil.copy(part / 'metadata.yaml', bag)

        def change(information):
            information['relative_file_paths'] = [f'run_{index}.db3' for index in range(4)]
            for topic in information['topics_with_message_count']:
                topic['message_count'] = 12
        edit_metadata(bag, change)
    last = bag / 'run_3.db3'
    last.write_bytes(last.read_bytes()[:last.stat().st_size // 2])
    found = Read(bag)
    assert not found.is_whole
    assert all(count >= 9 for count in found.counts.values())
    assert 'run_3.db3' in ' '.join(found.damage)
    assert not metadata or sum(found.counts.values()) + found.lost == 24


def test_a_damaged_page_of_an_sqlite_file_costs_the_messages_on_it(tmp_path):
    path = storage_file(write_bag(tmp_path / 'bag', count=60, storage='sqlite3'))
    data = bytearray(path.read_bytes())
    with sqlite3.connect(path) as connection:
        page_size = connection.execute('PRAGMA page_size').fetchone()[0]
    for page in range(len(data) // page_size // 2, len(data) // page_size // 2 + 2):
        data[page * page_size:page * page_size + 64] = b'\xff' * 64
    path.write_bytes(data)
    with BagReader(path.parent) as bag:
        count = sum(1 for _ in bag.images(TOPICS))
        assert count + bag.lost == 120
        assert count > 60


@pytest.mark.parametrize('metadata', [True, False])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('mode', ['message', 'file'])
def test_compressed_bags_are_read_without_metadata(tmp_path, storage, mode, metadata):
    bag = write_bag(tmp_path / 'bag', storage=storage, compression=mode)
    if not metadata:
        (bag / 'metadata.yaml').unlink()
    check_all(bag, damage='' if metadata else 'no metadata.yaml')


def test_a_compressed_file_is_read_by_itself(tmp_path):
    bag = write_bag(tmp_path / 'bag', compression='file')
    check_all(storage_file(bag))


def test_what_is_compressed_may_take_a_thousand_times_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(compression, 'SMALL_OUTPUT', 10_000)
    monkeypatch.setattr(compression, 'SMALL_FILE', 10_000)
    bomb = zstandard.compress(bytes(3_000_000))
    assert len(bomb) < 1000
    with pytest.raises(ValueError, match='takes more than'):
        compression.decompress(bomb, 'zstd')
    with pytest.raises(ValueError, match='would take 3000000 bytes'):
        compression.decompress(bomb, 'zstd', size=3_000_000)
    sound = np.random.default_rng(0).integers(0, 4, 3_000_000, np.uint8).tobytes()
    assert compression.decompress(zstandard.compress(sound), 'zstd', size=len(sound)) == sound
    (tmp_path / 'bag.mcap.zstd').write_bytes(bomb)
    with pytest.raises(BagError, match='more than 1000 times its size'):
        BagReader(tmp_path / 'bag.mcap.zstd')


def test_a_compressed_message_that_stands_for_too_much_is_skipped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(compression, 'LARGEST_OUTPUT', 10_000)
    monkeypatch.setattr(compression.decompress, '__kwdefaults__', {'size': 10_000})
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(3):
            size = 100_000 if index == 1 else 100
            image = np.zeros((1, size), np.uint8)
            message = bag.types.types[IMAGE_TYPE](header=bag.header(index), height=1, width=size, encoding='mono8',
                                                  is_bigendian=0, step=size, data=image.reshape(-1))
            raw = zstandard.compress(bytes(bag.types.serialize_cdr(message, IMAGE_TYPE)))
            bag.write_serialised('/rgb/image', IMAGE_TYPE, raw, received_ns=index + 1)
    with BagReader(tmp_path / 'bag') as reader:
        assert [image.stamp_ns for image in reader.images({'/rgb/image': Modality.RGB})] == [0, 2]
        assert reader.skipped == {'/rgb/image: no whole message': 1}


@pytest.mark.parametrize(('name', 'content', 'reason'), [
    ('empty.mcap', b'', 'empty'), ('empty.db3', b'', 'empty'), ('zeros.db3', bytes(500), 'zeros'),
    ('pointer.mcap', b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n', 'git lfs pull')])
def test_a_file_that_is_no_bag_says_what_it_is(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(BagError, match=f'{name}.*{reason}'):
            BagReader(path)


@pytest.mark.parametrize('text', ['', 'a: b', '[', 'rosbag2_bagfile_information: 5', '\x00', 'a: &a [*a]', '- ' * 3000])
def test_metadata_that_makes_no_sense_is_said_and_the_files_are_read(tmp_path, text):
    bag = write_bag(tmp_path / 'bag')
    (bag / 'metadata.yaml').write_text(text)
    check_all(bag, damage='metadata.yaml')


def test_renamed_files_are_read_and_missing_ones_are_a_loss(tmp_path):
    bag = write_bag(tmp_path / 'bag')
    storage_file(bag).rename(bag / 'other.mcap')
    check_all(bag, damage='bag.mcap')

    def change(information):
        information['relative_file_paths'] = ['other.mcap', 'gone.mcap']
    edit_metadata(bag, change)
    found = Read(bag)
    assert not found.is_whole
    assert 'gone.mcap' in found.damage[0]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('name', ['a#b', 'a?b', 'a%20b', 'a b', "a'b"])
def test_paths_with_signs_of_a_uri_are_written_and_read(tmp_path, storage, name):
    (tmp_path / name).mkdir()
    bag = write_bag(tmp_path / name / name, storage=storage)
    assert {path.name for path in (tmp_path / name).iterdir()} == {name}
    check_all(bag)


CASES = Path(__file__).parents[4] / 'shared' / 'cases'


@pytest.mark.skipif(not CASES.is_dir(), reason='the reported bags are not part of the package')
@pytest.mark.parametrize(('case', 'count', 'is_whole'), [
    ('A01-qos-differs', 16, True), ('B01-wal', 20, True), ('B02-file-zstd', 12, True), ('B07-message-zstd', 12, True),
    ('B08-split-times', 24, True), ('B10-partial-qos', 12, True), ('B12-cut-split', 24, False),
    ('M07-cut-schemaless', 24, False), ('M08-no-profile', 12, True), ('M09-ros1-in-mcap', 12, True),
    ('M14-damaged-chunk', 39, False), ('M19-no-message-index', 16, True)])
def test_reported_bags_are_read(case, count, is_whole):
    with BagReader(CASES / case) as bag:
        topics = {topic.name: Modality.RGB for topic in bag.image_topics}
        assert sum(1 for _ in bag.images(topics)) == count
        assert bag.is_whole is is_whole


def test_a_frame_that_is_no_utf8_does_not_cost_the_image(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        message = bag.types.types[IMAGE_TYPE](header=bag.header(7, 'camera'), height=1, width=2, encoding='mono8',
                                              is_bigendian=0, step=2, data=np.zeros(2, np.uint8))
        raw = bytes(bag.types.serialize_cdr(message, IMAGE_TYPE)).replace(b'camera', b'c\xe4mera')
        bag.write_serialised('/rgb/image', IMAGE_TYPE, raw, received_ns=1)
    with BagReader(tmp_path / 'bag') as reader:
        image, = reader.images({'/rgb/image': Modality.RGB})
        assert image.message.frame_id == 'c\ufffdmera'
        assert reader.is_whole


def test_a_topic_of_two_types_is_named(tmp_path):
    path = tmp_path / 'two.mcap'
    with path.open('wb') as stream:
        writer = McapWriter(stream)
        writer.start(profile='ros2', library='test')
        for kind in (IMAGE_TYPE, 'sensor_msgs/msg/CompressedImage'):
            schema = writer.register_schema(kind, 'ros2msg', b'')
            writer.add_message(writer.register_channel('/rgb/image', 'cdr', schema), START_NS, b'', START_NS)
        writer.finish()
    with BagReader(path) as reader, pytest.raises(BagError, match=r"'/rgb/image' carries messages of several types"):
        next(reader.images({'/rgb/image': Modality.RGB}))
