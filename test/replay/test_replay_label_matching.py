import cv2
import numpy as np
import pytest

from rsgmamba_ros.replay.label_matching import LabelFolder, LabelMatcher
from rsgmamba_ros.vocabulary.errors import DatasetError


def label(value):
    return np.full((2, 2), value, np.uint8)


def taken(matched):
    return [(result, None if label_map is None else int(label_map[0, 0])) for result, label_map in matched]


def create():
    return LabelMatcher(tolerance_ns=10, patience_ns=1000)


def test_a_label_with_the_same_stamp_is_taken_at_once_whichever_comes_first():
    matcher = create()
    matcher.add_label_map(100, label(1))
    matcher.add_result(100, 'a', now_ns=100)
    assert taken(matcher.matched(100)) == [('a', 1)]
    matcher.add_result(200, 'b', now_ns=200)
    assert taken(matcher.matched(200)) == []
    matcher.add_label_map(200, label(2))
    assert taken(matcher.matched(201)) == [('b', 2)]


def test_the_nearest_label_within_the_tolerance_is_taken_when_no_nearer_one_can_come():
    matcher = create()
    matcher.add_label_map(92, label(1))
    matcher.add_result(100, 'a', now_ns=100)
    assert taken(matcher.matched(105)) == []
    matcher.add_label_map(103, label(2))
    matcher.add_label_map(120, label(3))
    assert taken(matcher.matched(120)) == [('a', 2)]


def test_a_result_without_a_label_waits_no_longer_than_its_patience_and_keeps_its_place():
    matcher = create()
    matcher.add_result(100, 'a', now_ns=100)
    matcher.add_result(200, 'b', now_ns=200)
    matcher.add_label_map(205, label(1))
    assert taken(matcher.matched(300)) == [('a', None)]
    assert taken(matcher.matched(1199)) == []
    assert taken(matcher.matched(1200)) == [('b', 1)]


def test_what_waits_at_the_end_is_given_with_the_best_label_there_is():
    matcher = create()
    matcher.add_label_map(95, label(1))
    matcher.add_result(100, 'a', now_ns=100)
    matcher.add_result(300, 'b', now_ns=300)
    assert taken(matcher.rest()) == [('a', 1), ('b', None)]


def test_a_folder_gives_labels_by_stamp_or_number(tmp_path):
    for name, value in (('1700000000000000000', 1), ('1700000000.100000000', 2), ('000005', 3), ('notes', 4)):
        cv2.imwrite(str(tmp_path / f'{name}.png'), label(value))
    folder = LabelFolder(tmp_path)
    assert len(folder) == 3
    assert folder.read(1_700_000_000_000_000_000, 0)[0, 0] == 1
    assert folder.read(1_700_000_000_100_000_000, 1)[0, 0] == 2
    assert folder.read(7, 5)[0, 0] == 3
    assert folder.read(7, 6) is None


def test_a_folder_without_label_images_is_refused(tmp_path):
    with pytest.raises(DatasetError, match='named by stamp'):
        LabelFolder(tmp_path)
    (tmp_path / '1.png').write_bytes(b'nothing')
    with pytest.raises(DatasetError, match='no label image'):
        LabelFolder(tmp_path).read(1, 0)


@pytest.mark.parametrize('name', ['1700000000123456', '1700000000.123456', '1700000000.1235', '1700000000124',
                                  '1700000000_123456789', '1700000000.124'])
def test_label_images_are_found_by_stamps_in_coarser_units(tmp_path, name):
    stamp_ns = {'1700000000.1235': 1_700_000_000_123_500_007}.get(name, 1_700_000_000_123_456_789)
    if name.endswith('124'):
        stamp_ns = 1_700_000_000_123_956_789
    cv2.imwrite(str(tmp_path / f'{name}.PNG'), label(4))
    folder = LabelFolder(tmp_path)
    assert folder.read(stamp_ns, 0)[0, 0] == 4
    assert folder.read(stamp_ns + 3_000_000, 0) is None
