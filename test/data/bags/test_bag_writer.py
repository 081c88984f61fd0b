from pathlib import Path
import subprocess
import sys
from unittest.mock import patch

import numpy as np
import pytest
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_types_from_msg

from rsgmamba_ros.data.bags import writer as bag_writer
from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.data.messages.definitions import MODALITY_RELIABILITY, RELIABILITY, typestore
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import Modality

MESSAGES = Path(__file__).parents[3] / 'msg'
IMAGE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)


@pytest.mark.parametrize(('name', 'text'), [
    ('ModalityReliability', MODALITY_RELIABILITY), ('Reliability', RELIABILITY)])
def test_the_message_definitions_are_those_of_the_package(name, text):
    full_name = f'rsgmamba_ros/msg/{name}'
    original = get_types_from_msg((MESSAGES / f'{name}.msg').read_text(encoding='utf-8'), full_name)
    assert get_types_from_msg(text, full_name) == original


def test_a_reliability_message_survives_the_bag(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        types = bag.types.types
        depth = types['rsgmamba_ros/msg/ModalityReliability'](
            modality='depth', reliability=0.25, learned=0.5, signal_quality=0.5, presence=2, used=False,
            causes=['frozen'], skew_s=float('nan'), age_s=0.125)
        message = types['rsgmamba_ros/msg/Reliability'](
            header=bag.header(7, 'camera'), leader='rgb', modalities=[depth], reports=['all is well'], latency_s=0.5,
            sensor_profile='front.yaml')
        bag.write('/segmentation/reliability', 'rsgmamba_ros/msg/Reliability', message, received_ns=9)
    with Reader(tmp_path / 'bag') as reader:
        (connection, received_ns, raw), = reader.messages()
    assert received_ns == 9
    assert 'float32 signal_quality' in connection.msgdef.data  # Foxglove reads the definition from the bag
    read = typestore().deserialize_cdr(raw, connection.msgtype)
    assert read.modalities[0].causes == ['frozen']
    assert read.modalities[0].age_s == 0.125


def test_an_existing_folder_is_not_overwritten(tmp_path):
    with pytest.raises(BagError, match='exists already'):
        BagWriter(tmp_path)


def write(bag, count):
    for index in range(count):
        bag.write_image('/rgb/image', IMAGE, encoding='rgb8', stamp_ns=index, received_ns=index)


def stamps(path):
    with BagReader(path) as bag:
        return [image.decode().stamp_ns for image in bag.images({'/rgb/image': Modality.RGB})], bag.damage


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_bag_ends_properly_before_the_disk_is_full(tmp_path, storage):
    free = iter([10**9, 10**9, 10**7])  # at the start, after 4 MiB, after 8 MiB
    with patch.object(bag_writer.shutil, 'disk_usage', lambda path: type('Usage', (), {'free': next(free)})):
        bag = BagWriter(tmp_path / 'bag', storage=storage)
        with pytest.raises(BagError, match='is full: 10 MiB are left.* the 37 messages before'):
            write(bag, 100)
        with pytest.raises(BagError, match='closed'):
            write(bag, 1)
        bag.close()
    assert stamps(tmp_path / 'bag') == (list(range(37)), [])


WRITE_UNTIL_FULL = """
import resource, signal, sys
from test_bag_writer import write
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.vocabulary.errors import BagError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (12_000_000, resource.RLIM_INFINITY))
try:
    with BagWriter(sys.argv[1], storage=sys.argv[2]) as bag:
        write(bag, 100)
except BagError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_write_that_fails_leaves_what_was_written_readable(tmp_path, storage):
    """A file size limit stands for the disk: it comes without warning, as a quota does."""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, '-c', WRITE_UNTIL_FULL, tmp_path / 'bag', storage], text=True, cwd=tmp_path,
                          capture_output=True, env={'PYTHONPATH': f'{root}:{Path(__file__).parent}'})
    assert done.returncode == 1
    assert done.stderr.startswith('cannot write on to the bag')
    assert 'Traceback' not in done.stderr
    numbers, damage = stamps(tmp_path / 'bag')
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 30  # of about 52 that fit: whole chunks or transactions only
    assert damage
