"""Bags in the order of their header stamps: sorted, complete, and no more in memory than the disorder needs."""
from hypothesis import given, strategies
import numpy as np
import pytest

from rsgmamba_ros.data.bags.ordering import in_order_of_stamps
from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import Modality

TOPICS = {'/rgb': Modality.RGB, '/depth': Modality.DEPTH}


@given(strategies.lists(strategies.one_of(strategies.none(), strategies.integers(0, 50)), max_size=40))
def test_whatever_comes_is_sorted_and_complete(stamps):
    items = [None if stamp is None else (stamp, index) for index, stamp in enumerate(stamps)]
    found = list(in_order_of_stamps(items, stamps))
    assert found == sorted(item for item in items if item is not None)


def test_a_stream_in_order_is_never_kept():
    taken = []

    def items():
        for index in range(100):
            taken.append(index)
            yield index
    for item in in_order_of_stamps(items(), range(100)):
        assert taken[-1] == item


def write(path, *, stamps_ns, log_ns):
    with BagWriter(path) as bag:
        for index, (stamp, log) in enumerate(zip(stamps_ns, log_ns)):
            for topic, pixels, encoding in (('/rgb', np.full((4, 4, 3), index, np.uint8), 'rgb8'),
                                            ('/depth', np.full((4, 4), index + 1, np.uint16), '16UC1')):
                bag.write_image(topic, pixels, encoding=encoding, stamp_ns=stamp, received_ns=log)
    return path


STAMPS = [30, 10, 20, 50, 40]


@pytest.mark.parametrize('log_ns', [[7] * 5, [1, 2, 3, 4, 5], [50, 40, 30, 20, 10]])
def test_a_bag_is_read_in_the_order_of_its_stamps(tmp_path, log_ns):
    path = write(tmp_path / 'bag', stamps_ns=STAMPS, log_ns=log_ns)
    with BagReader(path, order_by='header') as bag:
        images = list(bag.images(TOPICS))
        heads = list(bag.headers(TOPICS))
        assert (bag.start_ns, bag.end_ns, bag.is_whole) == (10, 50, True)
    assert [image.stamp_ns for image in images] == [stamp for stamp in sorted(STAMPS) for _ in TOPICS]
    assert [image.received_ns for image in heads] == [image.stamp_ns for image in images]
    for image in images:
        assert image.decode().pixels.flat[0] == STAMPS.index(image.stamp_ns) + (image.modality is Modality.DEPTH)


def test_what_cannot_be_read_is_counted_once(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(4):
            bag.write_image('/rgb', np.zeros((4, 4, 3), np.uint8), encoding='rgb8', stamp_ns=9 - index,
                            received_ns=index)
    path = tmp_path / 'bag'
    file = next(path.glob('*.mcap'))
    data = bytearray(file.read_bytes())
    data[data.index(b'rgb8') - 4] = 255  # the length of the encoding of the first image
    file.write_bytes(data)
    with BagReader(path, order_by='header') as bag:
        assert [image.stamp_ns for image in bag.images({'/rgb': Modality.RGB})] == [6, 7, 8]
        assert sum(bag.skipped.values()) == 1


def test_a_bag_without_stamps_cannot_be_ordered_by_them(tmp_path):
    path = write(tmp_path / 'bag', stamps_ns=[0, 0], log_ns=[1, 2])
    with pytest.raises(BagError, match='no image has a stamp'):
        BagReader(path, order_by='header')
