import array
import math
import sys

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from rsgmamba_ros.msg import ModalityReliability as ModalityReliabilityMessage
from rsgmamba_ros.ros.conversions import (
    image_from_message,
    image_message,
    message_from_image,
    nanoseconds,
    reliability_message,
    stamp_message,
)
from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import Modality, Presence, StampedImage
from rsgmamba_ros.vocabulary.segmentation import ModalityReliability, Segmentation

STAMP_NS = 1_700_000_000_123_456_789
ENCODINGS = {
    'rgb8': (Modality.RGB, np.uint8, 3), 'mono8': (Modality.THERMAL, np.uint8, 1),
    'mono16': (Modality.DEPTH, np.uint16, 1), '16UC1': (Modality.DEPTH, np.uint16, 1),
    '32FC1': (Modality.DEPTH, np.float32, 1),
}


def some_pixels(dtype, channels, height=5, width=7):
    values = np.random.default_rng(1).integers(0, 255, (height, width, channels)).astype(dtype)
    return values if channels > 1 else values[..., 0]


def message_of(pixels, encoding):
    return image_message(pixels, encoding, stamp_ns=STAMP_NS, frame_id='camera')


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_an_image_comes_back_as_it_was_sent(encoding):
    modality, dtype, channels = ENCODINGS[encoding]
    sent = StampedImage(modality, STAMP_NS, 0, some_pixels(dtype, channels), encoding, 'camera')
    image = image_from_message(message_from_image(sent), modality, received_ns=5)
    np.testing.assert_array_equal(image.pixels, sent.pixels)
    assert (image.stamp_ns, image.received_ns, image.frame_id, image.encoding) == (STAMP_NS, 5, 'camera', encoding)


@pytest.mark.parametrize('encoding, order', [('bgr8', [2, 1, 0]), ('rgba8', [0, 1, 2]), ('bgra8', [2, 1, 0])])
def test_colours_arrive_in_rgb_order(encoding, order):
    pixels = some_pixels(np.uint8, len(encoding) - 1)
    image = image_from_message(message_of(pixels, encoding), Modality.RGB, received_ns=0)
    np.testing.assert_array_equal(image.pixels, pixels[..., order])
    assert image.encoding == 'rgb8'


def test_padded_rows_and_big_endian_values_are_read():
    pixels = some_pixels(np.uint16, 1)
    rows = np.zeros((5, 20), np.uint8)
    rows[:, :14] = pixels.astype('>u2').view(np.uint8)
    message = Image(height=5, width=7, encoding='16UC1', is_bigendian=True, step=20)
    message.data.frombytes(rows.tobytes())
    image = image_from_message(message, Modality.DEPTH, received_ns=0)
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixels.dtype == np.dtype(np.uint16)


def test_pixels_that_need_no_change_are_a_view_of_the_message():
    message = message_of(some_pixels(np.uint8, 3), 'rgb8')
    pixels = image_from_message(message, Modality.RGB, received_ns=0).pixels
    assert np.shares_memory(pixels, np.frombuffer(message.data, np.uint8))


def test_truncated_data_says_how_much_is_missing():
    message = message_of(some_pixels(np.uint8, 3), 'rgb8')
    message.data = message.data[:-4]
    with pytest.raises(ImageError, match='101 bytes.* needs 105'):
        image_from_message(message, Modality.RGB, received_ns=0)


@pytest.mark.parametrize('changes, what', [
    ({'encoding': 'jibberish8'}, 'jibberish8'), ({'height': 0}, '0x7'), ({'width': 0}, '5x0'), ({'step': 3}, 'step 3'),
    ({'encoding': '32FC1'}, '32FC1')])
def test_a_message_that_cannot_be_an_image_is_refused_with_the_reason(changes, what):
    message = message_of(some_pixels(np.uint8, 3), 'rgb8')
    for field, value in changes.items():
        setattr(message, field, value)
    with pytest.raises(ImageError, match=what):
        image_from_message(message, Modality.RGB, received_ns=0)


def test_compressed_colour_and_compressed_depth_are_decoded():
    pixels = np.full((20, 30, 3), (200, 30, 90), np.uint8)
    png = cv2.imencode('.png', pixels[..., ::-1])[1].tobytes()
    message = CompressedImage(format='bgr8; png compressed bgr8', data=png)
    np.testing.assert_array_equal(image_from_message(message, Modality.RGB, received_ns=0).pixels, pixels)

    depth = np.arange(600, dtype=np.uint16).reshape(20, 30)
    png = cv2.imencode('.png', depth)[1].tobytes()
    message = CompressedImage(format='16UC1; compressedDepth png', data=bytes(12) + png)
    image = image_from_message(message, Modality.DEPTH, received_ns=0)
    np.testing.assert_array_equal(image.pixels, depth)
    assert image.encoding == '16UC1'


def test_damaged_compressed_data_is_refused():
    with pytest.raises(ImageError, match="'jpeg' is cut off after 4 bytes"):
        image_from_message(CompressedImage(format='jpeg', data=b'\xff\xd8no'), Modality.RGB, received_ns=0)


@pytest.mark.parametrize('pixels, encoding', [
    (np.zeros((4, 4), np.uint16), 'mono8'), (np.zeros((4, 4), np.uint8), 'rgb8'),
    (np.zeros((4, 4, 4), np.uint8), 'rgb8'), (np.zeros((4, 4), np.uint8), 'no_such_encoding')])
def test_pixels_that_are_not_what_the_encoding_says_are_not_published(pixels, encoding):
    with pytest.raises(ImageError, match=encoding):
        message_of(pixels, encoding)


def test_a_published_image_has_no_padding_and_the_stamp_of_its_source():
    message = message_of(np.arange(48, dtype=np.uint8).reshape(6, 8)[:, ::2], 'mono8')
    assert (message.height, message.width, message.step, len(message.data)) == (6, 4, 4, 24)
    assert message.is_bigendian == (sys.byteorder == 'big')
    assert nanoseconds(message.header.stamp) == STAMP_NS
    assert message.header.frame_id == 'camera'


@pytest.mark.parametrize('stamp_ns', [0, 1, 999_999_999, 1_000_000_000, STAMP_NS])
def test_a_stamp_keeps_every_nanosecond(stamp_ns):
    assert nanoseconds(stamp_message(stamp_ns)) == stamp_ns


def test_the_reliability_message_says_all_that_is_known():
    rgb = ModalityReliability(0.8, 0.9, 0.89, Presence.PRESENT, True, skew_s=0.0, age_s=0.01)
    depth = ModalityReliability(0.0, 0.0, 0.0, Presence.MISSING, False, ('missing',))
    label_map = np.zeros((2, 2), np.uint8)
    segmentation = Segmentation(STAMP_NS, 'camera', Modality.RGB, label_map, label_map,
                                {Modality.RGB: rgb, Modality.DEPTH: depth}, ('depth: stopped',))
    message = reliability_message(segmentation, now_ns=STAMP_NS + 50_000_000)
    assert message.leader == 'rgb'
    assert message.latency_s == pytest.approx(0.05)
    assert list(message.reports) == ['depth: stopped']
    assert [entry.modality for entry in message.modalities] == ['rgb', 'depth']
    assert message.modalities[0].reliability == pytest.approx(0.8)
    assert message.modalities[1].presence == ModalityReliabilityMessage.MISSING
    assert list(message.modalities[1].causes) == ['missing']
    assert math.isnan(message.modalities[1].age_s)
    assert math.isnan(message.modalities[1].skew_s)


def test_cv_bridge_decodes_colours_that_we_do_not():
    pytest.importorskip('cv_bridge')
    message = Image(height=2, width=2, encoding='rgb16', step=12, data=array.array('B', bytes([0, 128] * 12)))
    assert image_from_message(message, Modality.RGB, received_ns=0).pixels.shape == (2, 2, 3)
