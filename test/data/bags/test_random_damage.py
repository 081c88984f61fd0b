"""Good bags, damaged at random: no traceback, no hang, and no message is lost without being counted.

`RSGMAMBA_DAMAGES=1000` takes more damages than the few that every run takes.
"""
import os
from pathlib import Path
import time

import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Rosbag1Writer
from rosbags.typesys import get_typestore, Stores

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import Modality

TOPICS = {'/rgb': Modality.RGB, '/depth': Modality.DEPTH}
COUNT = 12
DAMAGES = int(os.environ.get('RSGMAMBA_DAMAGES', '40'))
LONGEST_S = 10
START_NS = 1_700_000_000_000_000_000


def write_ros2(folder, **options):
    rng = np.random.default_rng(0)
    with BagWriter(folder / 'bag', **options) as bag:
        for index in range(COUNT):
            header = {'stamp_ns': START_NS + index, 'received_ns': START_NS + index}
            bag.write_image('/rgb', rng.integers(0, 256, (12, 16, 3), np.uint8), encoding='rgb8', **header)
            bag.write_image('/depth', rng.integers(0, 9000, (48, 64), np.uint16), encoding='16UC1', **header)
    return folder / 'bag'


def write_ros1(folder, **options):
    store, kind = get_typestore(Stores.ROS1_NOETIC), 'sensor_msgs/msg/Image'
    with Rosbag1Writer(folder / 'bag.bag') as writer:
        connections = [writer.add_connection(topic, kind, typestore=store) for topic in TOPICS]
        for index in range(COUNT):
            for connection, encoding in zip(connections, ('mono8', '16UC1')):
                header = store.types['std_msgs/msg/Header'](
                    seq=index, stamp=store.types['builtin_interfaces/msg/Time'](1700000000, index), frame_id='')
                message = store.types[kind](header=header, height=4, width=8, encoding=encoding, is_bigendian=0,
                                            step=16, data=np.full(64, index, np.uint8))
                writer.write(connection, START_NS + index, store.serialize_ros1(message, kind))
    return folder / 'bag.bag'


STORAGES = {'mcap': (write_ros2, {}), 'mcap chunks': (write_ros2, {'compression': 'storage'}),
            'sqlite': (write_ros2, {'storage': 'sqlite3'}), 'ros1': (write_ros1, {})}


def damage(data: bytearray, rng) -> bytearray:
    """Change some bytes, a run of them, or cut the end off."""
    kind = rng.integers(4)
    if kind == 0:
        return data[:rng.integers(len(data))]
    start = int(rng.integers(len(data)))
    if kind == 1:
        data[start:start + int(rng.integers(1, 600))] = b''
    elif kind == 2:
        end = min(len(data), start + int(rng.integers(1, 600)))
        data[start:end] = rng.integers(0, 256, end - start, np.uint8).tobytes()
    else:
        for position in rng.integers(0, len(data), int(rng.integers(1, 6))):
            data[position] = rng.integers(256)
    return data


def damage_text(data: bytearray, rng) -> bytearray:
    """Delete, repeat or swap lines of metadata.yaml."""
    lines = data.decode('utf-8', 'replace').splitlines(keepends=True)
    first, second = rng.integers(len(lines), size=2)
    lines[first] = [lines[second], '', lines[first] * 2, '[\n'][rng.integers(4)]
    return bytearray(''.join(lines).encode())


def outcome(path) -> str:
    """How a damaged bag is read: refused, whole, or in part with the loss said; anything else is named."""
    try:
        with BagReader(path) as bag:
            topics = {topic.name: TOPICS[topic.name] for topic in bag.image_topics if topic.name in TOPICS}
            read = sum(1 for _ in bag.images(topics))
            if read == 2 * COUNT:
                return 'whole'
            if bag.is_whole and len(topics) == len(TOPICS):
                return f'SILENT: {read} read, nothing lost'
            if bag.is_whole:
                return 'topics missing'  # which a replay refuses
            return 'counted' if read + bag.lost == 2 * COUNT else 'said, not countable'
    except BagError as error:
        assert '\n' not in str(error)
        return 'refused'


@pytest.mark.parametrize('storage', STORAGES)
def test_a_random_damage_is_never_a_silent_loss(tmp_path, storage):
    write, options = STORAGES[storage]
    path = write(tmp_path, **options)
    file = path if path.is_file() else next(entry for entry in path.iterdir() if entry.suffix != '.yaml')
    originals = {entry: entry.read_bytes() for entry in ([file] if path.is_file() else path.iterdir())}
    outcomes: dict[str, int] = {}
    longest_s = 0.0
    for seed in range(DAMAGES):
        rng = np.random.default_rng(seed)
        for entry, content in originals.items():
            entry.write_bytes(content)
        target = list(originals)[int(rng.integers(len(originals)))] if rng.random() < 0.2 else file
        change = damage_text if target.suffix == '.yaml' else damage
        target.write_bytes(change(bytearray(originals[target]), rng))
        if rng.random() < 0.2 and path.is_dir():
            (path / 'metadata.yaml').unlink()
        start = time.process_time()  # not wall time: the machine may have more to do
        found = outcome(path)
        longest_s = max(longest_s, time.process_time() - start)
        outcomes[found] = outcomes.get(found, 0) + 1
        assert not found.startswith('SILENT'), f'seed {seed}: {found}'
    print(f'{storage}: {outcomes}, longest {longest_s:.2f} s')
    assert longest_s < LONGEST_S
    assert Path(file).exists()
