"""Which topic shows what, as drivers and simulators name them."""
import cv2
import numpy as np
import pytest

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.topics import find_auxiliary, find_topics
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH, THERMAL = Modality.RGB, Modality.DEPTH, Modality.THERMAL
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (24, 32, 3), np.uint8)
GREY = RNG.integers(0, 256, (24, 32), np.uint8)
METRES = RNG.random((24, 32), np.float32)
DEEP = RNG.integers(500, 5000, (24, 32), np.uint16)
IMAGES = {'rgb8': COLOURS, 'mono8': GREY, '16UC1': DEEP, '32FC1': METRES, '64FC1': METRES.astype(float),
          'grey bgr8': np.repeat(GREY[..., None], 3, axis=2)}
FILES = {'jpeg': COLOURS, 'png': DEEP, 'grey jpeg': GREY}


def write_topics(path, topics, *, empty_first=False):
    with BagWriter(path) as bag:
        for index, (topic, kind) in enumerate(topics.items()):
            header = {'stamp_ns': index + 1, 'received_ns': index + 1}
            if kind in FILES:
                data = cv2.imencode('.png' if kind == 'png' else '.jpg', FILES[kind])[1].tobytes()
                bag.write_compressed_image(topic, data, format=kind.split()[-1], **header)
                continue
            encoding = kind.split()[-1]
            if empty_first:
                bag.write_image(topic, np.zeros((0, 0), np.uint8), encoding='mono8', **header)
            bag.write_image(topic, IMAGES[kind], encoding=encoding, **header)
    return path


@pytest.mark.parametrize('empty_first', [False, True])
@pytest.mark.parametrize(('auxiliary', 'topics', 'expected'), [
    (DEPTH, {'/depth_camera/image_raw': 'rgb8', '/depth_camera/depth/image_raw': '32FC1'}, None),
    (THERMAL, {'/flir_camera/image_raw': 'rgb8', '/thermal': 'mono8'}, None),
    (DEPTH, {'/orange/image': 'rgb8', '/orange/d': '16UC1'}, None),
    (DEPTH, {'/infrastructure/image': 'rgb8', '/x': '64FC1'}, None),
    (DEPTH, {'/camera/compressed': 'jpeg', '/range_camera/compressed': 'png'}, None),
    (DEPTH, {'/a': 'rgb8', '/b': '16UC1', '/infra1': 'mono8'}, {'/a': RGB, '/b': DEPTH}),
    (THERMAL, {'/a': 'rgb8', '/lepton': 'grey bgr8'}, None),
    (THERMAL, {'/a': 'jpeg', '/boson/compressed': 'grey jpeg'}, None),
    (DEPTH, {'/camera/color/image_raw': 'grey bgr8', '/camera/depth/image_rect_raw': '16UC1'}, None)])
def test_pixels_decide_and_names_only_break_ties(tmp_path, auxiliary, topics, expected, empty_first):
    expected = expected or dict(zip(topics, (RGB, auxiliary)))
    with BagReader(write_topics(tmp_path / 'bag', topics, empty_first=empty_first)) as bag:
        assert find_topics(bag, auxiliary=auxiliary, named={}) == expected


@pytest.mark.parametrize(('topics', 'auxiliary'), [
    ({'/a': 'rgb8', '/b': '16UC1'}, DEPTH), ({'/a': 'rgb8', '/b': 'mono8'}, THERMAL), ({'/a': 'rgb8'}, DEPTH),
    ({'/a': 'rgb8', '/thermal': '16UC1'}, THERMAL), ({'/a': 'rgb8', '/thermal': '16UC1', '/depth': '16UC1'}, DEPTH)])
def test_the_auxiliary_modality_is_the_one_that_the_bag_has(tmp_path, topics, auxiliary):
    with BagReader(write_topics(tmp_path / 'bag', topics)) as bag:
        assert find_auxiliary(bag) is auxiliary
