import struct

import cv2
import numpy as np
import pytest

from rsgmamba_ros.data.messages.images import decode_compressed_image, decode_image, LABELS
from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH, THERMAL = Modality.RGB, Modality.DEPTH, Modality.THERMAL
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 8, 3), np.uint8)
DEPTHS = RNG.integers(0, 9000, (6, 8), np.uint16)


def decode(modality, encoding, pixels, *, step=None, is_bigendian=False, data=None):
    rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1)
    step = step or rows.strides[0]
    if data is None:
        padded = np.full((len(rows), max(step, rows.strides[0])), 99, np.uint8)
        padded[:, :rows.strides[0]] = rows.view(np.uint8)
        data = padded.tobytes()
    return decode_image(modality, encoding=encoding, height=pixels.shape[0], width=pixels.shape[1], step=step,
                        is_bigendian=is_bigendian, data=data)


@pytest.mark.parametrize(('encoding', 'code'), [
    ('rgb8', None), ('bgr8', cv2.COLOR_RGB2BGR), ('rgba8', cv2.COLOR_RGB2RGBA), ('bgra8', cv2.COLOR_RGB2BGRA)])
def test_colour_encodings_become_rgb(encoding, code):
    sent = COLOURS if code is None else cv2.cvtColor(COLOURS, code)
    for step in (None, sent.shape[1] * sent.shape[2] + 5):
        pixels, name = decode(RGB, encoding, sent, step=step)
        assert name == 'rgb8'
        np.testing.assert_array_equal(pixels, COLOURS)


def test_grey_images_become_rgb_for_the_colour_modality():
    pixels, _ = decode(RGB, 'mono8', COLOURS[..., 0])
    np.testing.assert_array_equal(pixels, np.repeat(COLOURS[..., :1], 3, axis=2))


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_patterns_keep_the_colour_of_a_uniform_image(pattern):
    colour = {'r': 200, 'g': 120, 'b': 40}
    mosaic = np.tile(np.array([colour[c] for c in pattern], np.uint8).reshape(2, 2), (4, 4))
    pixels, _ = decode(RGB, f'bayer_{pattern}8', mosaic)
    np.testing.assert_array_equal(pixels[2:-2, 2:-2], np.broadcast_to((200, 120, 40), (4, 4, 3)))


@pytest.mark.parametrize(('modality', 'encoding', 'dtype', 'name'), [
    (DEPTH, '16UC1', np.uint16, '16UC1'), (DEPTH, 'mono16', np.uint16, 'mono16'), (DEPTH, '32FC1', np.float32, '32FC1'),
    (LABELS, 'mono8', np.uint8, 'mono8'), (THERMAL, 'mono8', np.uint8, 'mono8'), (THERMAL, '8UC1', np.uint8, 'mono8'),
    (THERMAL, '16UC1', np.uint16, '16UC1')])
@pytest.mark.parametrize('padding', [0, 1, 4])
@pytest.mark.parametrize('big', [False, True])
def test_measurements_keep_their_values_whatever_the_step_and_byte_order(modality, encoding, dtype, name, padding, big):
    values = DEPTHS.astype(dtype)
    sent = values.astype(values.dtype.newbyteorder('>' if big else '<'))
    step = sent.shape[1] * sent.itemsize + padding
    pixels, got = decode(modality, encoding, sent, step=step, is_bigendian=big)
    assert (got, pixels.dtype) == (name, np.dtype(dtype))
    np.testing.assert_array_equal(pixels, values)


def test_pixels_that_need_no_change_are_a_view_of_the_message():
    data = bytearray(DEPTHS.tobytes())
    pixels, _ = decode(DEPTH, '16UC1', DEPTHS, data=data)
    data[:2] = b'\x07\x00'
    assert pixels[0, 0] == 7
    assert not pixels.flags.writeable


def test_a_buffer_that_starts_on_an_odd_byte_is_read():
    data = memoryview(b'x' + DEPTHS.tobytes())[1:]
    np.testing.assert_array_equal(decode(DEPTH, '16UC1', DEPTHS, data=data)[0], DEPTHS)


def test_the_last_row_may_lack_its_padding():
    rows = np.zeros((6, 20), np.uint8)
    rows[:, :16] = DEPTHS.view(np.uint8)
    pixels, _ = decode(DEPTH, '16UC1', DEPTHS, step=20, data=rows.tobytes()[:-4])
    np.testing.assert_array_equal(pixels, DEPTHS)


@pytest.mark.parametrize(('modality', 'encoding', 'changes', 'message'), [
    (DEPTH, 'rgb8', {}, "depth image has encoding 'rgb8'; expected one of .*16UC1"),
    (RGB, '16UC1', {}, "rgb image has encoding '16UC1'"),
    (DEPTH, '16UC1', {'step': 15}, 'step 15, but 8 pixels of 16UC1 take 16 bytes'),
    (DEPTH, '16UC1', {'data': b'123'}, '3 bytes of data; 6x8 16UC1 with step 16 needs 96')])
def test_a_message_that_cannot_be_read_says_what_was_expected(modality, encoding, changes, message):
    with pytest.raises(ImageError, match=message):
        decode(modality, encoding, DEPTHS, **changes)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ImageError, match='0x8'):
        decode_image(DEPTH, encoding='16UC1', height=0, width=8, step=16, is_bigendian=False, data=b'')


def encoded(pixels, extension='.png'):
    return cv2.imencode(extension, pixels)[1].tobytes()


@pytest.mark.parametrize('format', ['png', 'bgr8; png compressed bgr8', 'rgb8; png compressed bgr8', ''])
def test_compressed_colours_become_rgb(format):
    data = encoded(cv2.cvtColor(COLOURS, cv2.COLOR_RGB2BGR))
    pixels, name = decode_compressed_image(RGB, format=format, data=data)
    assert name == 'rgb8'
    np.testing.assert_array_equal(pixels, COLOURS)


def test_colours_that_were_encoded_without_the_swap_are_not_swapped_back():
    pixels, _ = decode_compressed_image(RGB, format='rgb8; png compressed rgb8', data=encoded(COLOURS))
    np.testing.assert_array_equal(pixels, COLOURS)


def test_a_jpeg_comes_close_to_its_original():
    smooth = cv2.resize(COLOURS, (64, 48), interpolation=cv2.INTER_CUBIC)
    data = encoded(cv2.cvtColor(smooth, cv2.COLOR_RGB2BGR), '.jpg')
    pixels, _ = decode_compressed_image(RGB, format='jpeg', data=data)
    assert np.abs(pixels.astype(int) - smooth).mean() < 6


def test_compressed_depth_in_millimetres_is_exact():
    data = struct.pack('<iff', 0, 0, 0) + encoded(DEPTHS)
    pixels, name = decode_compressed_image(DEPTH, format='16UC1; compressedDepth png', data=data)
    assert name == '16UC1'
    np.testing.assert_array_equal(pixels, DEPTHS)


def test_compressed_depth_in_metres_undoes_the_inverse_depth_coding():
    metres = np.linspace(0.5, 9, 48, dtype=np.float32).reshape(6, 8)
    a, b = 100 * 101.0, 1 - 101.0 * 100 / 10
    quantised = np.rint(a / metres + b).astype(np.uint16)
    quantised[0, 0] = 0
    data = struct.pack('<iff', 0, a, b) + encoded(quantised)
    pixels, name = decode_compressed_image(DEPTH, format='32FC1; compressedDepth', data=data)
    assert name == '32FC1'
    assert np.isnan(pixels[0, 0])
    np.testing.assert_allclose(pixels.ravel()[1:], metres.ravel()[1:], rtol=5e-3)  # half a step of the coding at 9 m


@pytest.mark.parametrize(('modality', 'format', 'data', 'message'), [
    (RGB, 'jpeg', b'', 'cannot be decoded'),
    (RGB, 'jpeg', b'no image at all', 'cannot be decoded'),
    (RGB, 'jpeg', encoded(COLOURS, '.jpg')[:-30], 'cut off after'),
    (RGB, 'png', encoded(COLOURS)[:-30], 'cut off after'),
    (DEPTH, '32FC1; compressedDepth png', encoded(DEPTHS), 'no compressedDepth header'),
    (DEPTH, '16UC1; compressedDepth png', b'12', '2 bytes'),
    (DEPTH, '16UC1; compressedDepth rvl', b'0' * 99, 'at most 50000000 pixels'),
    (DEPTH, '16UC1; compressedDepth rvl', bytes(12) + struct.pack('<II', 8, 6) + b'123', 'cut off'),
    (DEPTH, '16UC1; compressedDepth rvl', bytes(12) + struct.pack('<II', 8, 6) + bytes(8), 'damaged or cut off'),
    (DEPTH, 'png', encoded(COLOURS), '3 channels'),
    (DEPTH, 'png', encoded(COLOURS[..., 0]), 'decodes to uint8')])
def test_a_compressed_image_that_cannot_be_used_is_refused(modality, format, data, message):
    with pytest.raises(ImageError, match=message):
        decode_compressed_image(modality, format=format, data=data)
