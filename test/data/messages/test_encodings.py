from functools import partial
from pathlib import Path
import struct
import sys
import zlib

import cv2
from hypothesis import given, settings, strategies
import numpy as np
import pytest

from rsgmamba_ros.data.messages.compressed_images import size_in_header
from rsgmamba_ros.data.messages.encodings import ENCODINGS, layout_of, upper_8_bits
from rsgmamba_ros.data.messages.images import decode_compressed_image, decode_image, stamped_image
from rsgmamba_ros.vocabulary.decoding import Decoding
from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH, THERMAL = Modality.RGB, Modality.DEPTH, Modality.THERMAL
RNG = np.random.default_rng(1)
HEIGHT, WIDTH = 24, 32
#: Smooth, so that chroma at half the resolution loses little.
COLOURS = cv2.resize(RNG.integers(40, 216, (3, 4, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
GREY = np.ascontiguousarray(COLOURS[..., 0])
DEPTHS = RNG.integers(0, 9000, (HEIGHT, WIDTH), np.uint16)


def decode(content, encoding, data, *, step, height=HEIGHT, width=WIDTH):
    return decode_image(content, encoding=encoding, height=height, width=width, step=step, is_bigendian=False,
                        data=np.ascontiguousarray(data).tobytes())


def planes(encoding, rgb):
    """The planes of a YUV encoding, (rows, W) uint8."""
    i420 = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    luma = i420[:HEIGHT]
    u, v = i420[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    first, second = (v, u) if encoding == 'nv21' else (u, v)
    if encoding == 'nv24':
        first, second = (plane.repeat(2, axis=0).repeat(2, axis=1) for plane in (first, second))
        return np.concatenate((luma, np.stack((first, second), axis=2).reshape(2 * HEIGHT, WIDTH)))
    return np.concatenate((luma, np.stack((first, second), axis=2).reshape(HEIGHT // 2, WIDTH)))


@pytest.mark.parametrize('encoding', ['nv12', 'nv21', 'nv24'])
@pytest.mark.parametrize('padding', [0, 7])
def test_chroma_in_planes_of_its_own_becomes_rgb(encoding, padding):
    data = np.pad(planes(encoding, COLOURS), ((0, 0), (0, padding)), constant_values=99)
    pixels, name = decode(RGB, encoding, data, step=WIDTH + padding)
    assert name == 'rgb8'
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(pixels.astype(int) - COLOURS).mean() < 4


def test_an_image_whose_chroma_is_cut_off_or_odd_is_refused():
    with pytest.raises(ImageError, match='needs'):
        decode(RGB, 'nv12', planes('nv12', COLOURS)[:-1], step=WIDTH)
    with pytest.raises(ImageError, match='even'):
        decode(RGB, 'nv12', planes('nv12', COLOURS), step=WIDTH, width=WIDTH - 1)


def test_images_without_a_colour_order_are_read_as_opencv_writes_them():
    bgra = cv2.cvtColor(COLOURS, cv2.COLOR_RGB2BGRA)
    np.testing.assert_array_equal(decode(RGB, '8UC4', bgra, step=4 * WIDTH)[0], COLOURS)
    np.testing.assert_array_equal(decode(RGB, '8UC1', GREY, step=WIDTH)[0], np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize('bits', [8, 10, 12, 14, 16])
def test_deep_colours_keep_their_upper_8_bits(bits):
    white = np.uint16(2**bits - 1)
    deep = (COLOURS.astype(np.uint16) << (bits - 8)) + np.uint16(2**(bits - 8) - 1)
    deep[0, 0] = white
    expected = COLOURS.copy()
    expected[0, 0] = 255
    np.testing.assert_array_equal(decode(RGB, 'rgb16', deep, step=6 * WIDTH)[0], expected)
    np.testing.assert_array_equal(decode(RGB, 'mono16', deep[..., 0], step=2 * WIDTH)[0][..., 2], expected[..., 0])
    png = cv2.imencode('.png', cv2.cvtColor(deep, cv2.COLOR_RGB2BGR))[1].tobytes()
    np.testing.assert_array_equal(decode_compressed_image(RGB, format='png', data=png)[0], expected)


def test_a_black_image_has_no_white_level():
    assert not upper_8_bits(np.zeros((2, 2), np.uint16)).any()


PATTERNS = ('rggb', 'bggr', 'gbrg', 'grbg')


def mosaic(pattern, dtype=np.uint8):
    colour = {'r': 200, 'g': 120, 'b': 40}
    return np.tile(np.array([colour[c] for c in pattern], dtype).reshape(2, 2), (HEIGHT // 2, WIDTH // 2))


@pytest.mark.parametrize('pattern', PATTERNS)
def test_a_deep_bayer_pattern_is_demosaiced(pattern):
    deep = (mosaic(pattern, np.uint16) << 4) + 15
    deep[0, 0] = 4095
    pixels, _ = decode(RGB, f'bayer_{pattern}16', deep, step=2 * WIDTH)
    np.testing.assert_array_equal(pixels[3:-3, 3:-3], np.broadcast_to((200, 120, 40), (HEIGHT - 6, WIDTH - 6, 3)))


@pytest.mark.parametrize('pattern', PATTERNS)
@pytest.mark.parametrize(('extension', 'format'), [('.png', 'png compressed '), ('.jpg', 'jpeg compressed ')])
@pytest.mark.parametrize('bits', [8, 16])
def test_a_compressed_bayer_pattern_is_demosaiced_and_not_taken_for_grey(pattern, extension, format, bits):
    data = cv2.imencode(extension, mosaic(pattern), [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    pixels, name = decode_compressed_image(RGB, format=f'bayer_{pattern}{bits}; {format}', data=data)
    assert name == 'rgb8'
    assert np.abs(pixels[3:-3, 3:-3].astype(int) - (200, 120, 40)).max() <= 4


def test_depth_of_double_precision_is_read():
    metres = DEPTHS * 1e-3
    pixels, name = decode(DEPTH, '64FC1', metres, step=8 * WIDTH)
    assert (name, pixels.dtype) == ('32FC1', np.float32)
    np.testing.assert_allclose(pixels, metres, rtol=1e-6)


def grey_as(encoding):
    rgb = np.repeat(GREY[..., None], 3, axis=2)
    if encoding.startswith('nv'):
        return np.concatenate((GREY, np.full((HEIGHT * (2 if encoding == 'nv24' else 1) // (1 if encoding == 'nv24'
                                                                                             else 2), WIDTH), 128,
                                             np.uint8)))
    if encoding in ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'):
        pair = (GREY, np.full_like(GREY, 128))
        return np.stack(pair if 'yuy' in encoding else pair[::-1], axis=2)
    return np.concatenate((rgb, np.full((HEIGHT, WIDTH, 1), 255, np.uint8)), axis=2) if 'a8' in encoding else rgb


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'bgra8', '8UC3', 'yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv',
                                      'nv12', 'nv21', 'nv24'])
def test_grey_thermal_images_in_a_format_for_colours_are_read(encoding):
    data = grey_as(encoding)
    step = WIDTH * (data.shape[2] if data.ndim == 3 else 1)
    pixels, name = decode(THERMAL, encoding, data, step=step)
    assert name == 'mono8'
    np.testing.assert_array_equal(pixels, GREY)


@pytest.mark.parametrize('encoding', ['rgb8', 'nv12'])
def test_thermal_images_in_false_colours_are_refused(encoding):
    data = COLOURS if encoding == 'rgb8' else planes(encoding, COLOURS)
    with pytest.raises(ImageError, match='false colours'):
        decode(THERMAL, encoding, data, step=WIDTH * (3 if encoding == 'rgb8' else 1))


def test_a_compressed_grey_thermal_image_with_three_channels_is_read():
    data = cv2.imencode('.jpg', np.repeat(GREY[..., None], 3, axis=2), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    pixels, name = decode_compressed_image(THERMAL, format='bgr8; jpeg compressed bgr8', data=data)
    assert name == 'mono8'
    assert np.abs(pixels.astype(int) - GREY).mean() < 3


def rvl(pixels):
    """Encode as in the paper (Wilson 2017), a nibble after the other."""
    nibbles = []

    def put(value):
        while True:
            nibbles.append(value & 7 | (8 if value >> 3 else 0))
            value >>= 3
            if not value:
                return
    flat, index, previous = pixels.reshape(-1).tolist(), 0, 0
    while index < len(flat):
        start = index
        while index < len(flat) and not flat[index]:
            index += 1
        put(index - start)
        start = index
        while index < len(flat) and flat[index]:
            index += 1
        put(index - start)
        for value in flat[start:index]:
            delta, previous = value - previous, value
            put(delta << 1 if delta >= 0 else (-delta << 1) - 1)
    nibbles += [0] * (-len(nibbles) % 8)
    words = [sum(nibble << 4 * (7 - place) for place, nibble in enumerate(nibbles[at:at + 8]))
             for at in range(0, len(nibbles), 8)]
    return struct.pack('<II', *pixels.shape[::-1]) + struct.pack(f'<{len(words)}I', *words)


@pytest.mark.parametrize('kind', ['holes', 'full', 'empty', 'far'])
def test_depth_compressed_as_rvl_is_exact(kind):
    pixels = {'holes': np.where(RNG.random(DEPTHS.shape) < 0.3, 0, DEPTHS), 'full': DEPTHS + 1,
              'empty': np.zeros_like(DEPTHS), 'far': RNG.integers(0, 2**16, DEPTHS.shape)}[kind].astype(np.uint16)
    data = struct.pack('<iff', 0, 0, 0) + rvl(pixels)
    decoded, name = decode_compressed_image(DEPTH, format='16UC1; compressedDepth rvl', data=data)
    assert name == '16UC1'
    np.testing.assert_array_equal(decoded, pixels)


def test_compressed_depth_without_its_header_is_read():
    data = cv2.imencode('.png', DEPTHS)[1].tobytes()
    decoded, _ = decode_compressed_image(DEPTH, format='16UC1; compressedDepth', data=data)
    np.testing.assert_array_equal(decoded, DEPTHS)


def png_that_announces(height, width):
    header = struct.pack('>II5B', width, height, 8, 0, 0, 0, 0)

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(bytes(1000))) + \
        chunk(b'IEND', b'')


def jpeg_that_announces(height, width):
    data = cv2.imencode('.jpg', GREY)[1].tobytes()
    frame = data.index(b'\xff\xc0')
    return data[:frame + 5] + struct.pack('>HH', height, width) + data[frame + 9:]


def webp_that_announces(height, width, *, lossless=100):
    data = bytearray(cv2.imencode('.webp', COLOURS, [cv2.IMWRITE_WEBP_QUALITY, lossless])[1].tobytes())
    if data[12:16] == b'VP8 ':
        data[26:30] = struct.pack('<HH', width, height)
    else:
        data[21:25] = struct.pack('<I', (width - 1) | (height - 1) << 14)
    return bytes(data)


def bmp_that_announces(height, width):
    data = bytearray(cv2.imencode('.bmp', COLOURS)[1].tobytes())
    data[18:26] = struct.pack('<ii', width, -height)
    return bytes(data)


def tiff_that_announces(height, width):
    entries = struct.pack('<HHII', 256, 4, 1, width) + struct.pack('<HHII', 257, 4, 1, height)
    return b'II*\0' + struct.pack('<IH', 8, 2) + entries + bytes(4)


@pytest.mark.parametrize('announce', [png_that_announces, jpeg_that_announces, tiff_that_announces,
                                      webp_that_announces, partial(webp_that_announces, lossless=101),
                                      bmp_that_announces])
def test_an_image_of_a_hostile_size_is_refused_before_it_is_decoded(announce, monkeypatch):
    monkeypatch.setattr(cv2, 'imdecode', lambda *arguments: pytest.fail('decoded'))
    largest = 1_000_000
    side = int(largest**0.5) + 1
    for modality in (RGB, DEPTH):
        with pytest.raises(ImageError, match=f'{side}x{side}; at most {largest} .*max_image_pixels'):
            decode_compressed_image(modality, format='png', data=announce(side, side),
                                    decoding=Decoding(max_image_pixels=largest))


@pytest.mark.parametrize('quality', [90, 101])
@pytest.mark.parametrize('extension', ['.webp', '.bmp', '.png', '.tiff', '.jpg'])
def test_the_size_in_the_header_is_that_of_the_pixels(extension, quality):
    data = cv2.imencode(extension, COLOURS, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
    assert size_in_header(data) == (HEIGHT, WIDTH)
    assert decode_compressed_image(RGB, format=extension[1:], data=data)[0].shape == (HEIGHT, WIDTH, 3)


def test_a_file_whose_size_cannot_be_read_is_not_decoded(monkeypatch):
    data = cv2.imencode('.ppm', COLOURS)[1].tobytes()
    monkeypatch.setattr(cv2, 'imdecode', lambda *arguments: pytest.fail('decoded'))
    with pytest.raises(ImageError, match='PNG, JPEG, TIFF, WebP or BMP'):
        decode_compressed_image(RGB, format='ppm', data=data)


def test_a_raw_image_over_the_limit_is_refused():
    with pytest.raises(ImageError, match='at most 700 pixels'):
        decode_image(RGB, encoding='mono8', height=HEIGHT, width=WIDTH, step=WIDTH, is_bigendian=False,
                     data=GREY.tobytes(), decoding=Decoding(max_image_pixels=700))


def test_depth_in_another_unit_becomes_metres():
    decoding = Decoding(depth_unit_m=0.0001)
    decoded = decode_image(DEPTH, encoding='16UC1', height=HEIGHT, width=WIDTH, step=2 * WIDTH, is_bigendian=False,
                           data=DEPTHS.tobytes(), decoding=decoding)
    image = stamped_image(DEPTH, decoded, stamp_ns=1, received_ns=2, frame_id='', decoding=decoding)
    assert (image.encoding, image.pixels.dtype) == ('32FC1', np.float32)
    np.testing.assert_allclose(image.pixels[DEPTHS > 0], DEPTHS[DEPTHS > 0] * 1e-4, rtol=1e-6)
    assert np.isnan(image.pixels[DEPTHS == 0]).all()


def test_the_documentation_lists_the_encodings_that_are_read():
    text = (Path(__file__).parents[3] / 'docs' / 'inputs.md').read_text(encoding='utf-8')
    for content, encodings in ENCODINGS.items():
        row = f'| {content} | ' + ', '.join(f'`{encoding}`' for encoding in encodings) + ' |'
        assert row in text, row


@pytest.mark.parametrize('content', [RGB, DEPTH, THERMAL])
def test_random_fields_and_data_are_an_image_or_one_clear_error(content):
    rng = np.random.default_rng(5)
    encodings = [*{name for names in ENCODINGS.values() for name in names}, 'nonsense', '']
    for _ in range(400):
        fields = {'encoding': encodings[rng.integers(len(encodings))], 'height': int(rng.integers(0, 9)),
                  'width': int(rng.integers(0, 9)), 'step': int(rng.integers(0, 80))}
        data = rng.integers(0, 256, rng.integers(0, 900), np.uint8)
        try:
            pixels, _ = decode_image(content, is_bigendian=bool(rng.integers(2)), data=data.tobytes(), **fields)
        except ImageError as error:
            assert str(error)
        else:
            assert pixels.shape[:2] == (fields['height'], fields['width'])


@pytest.mark.parametrize(('content', 'encoding'), [
    (content, encoding) for content, names in ENCODINGS.items() for encoding in names])
@settings(max_examples=15, deadline=None)
@given(sides=strategies.tuples(strategies.integers(1, 6), strategies.integers(1, 6)), padding=strategies.integers(0, 9),
       is_bigendian=strategies.booleans(), offset=strategies.integers(0, 3), seed=strategies.integers(0, 2**16))
def test_padding_byte_order_and_alignment_change_no_pixel(content, encoding, sides, padding, is_bigendian, offset,
                                                          seed):
    layout, _ = layout_of(content, encoding)
    height, width = 2 * sides[0], 2 * sides[1]
    rows, native = round(height * layout.rows), np.dtype(layout.dtype)
    rng = np.random.default_rng(seed)
    values = rng.integers(100, 104, (rows, width * layout.channels)).astype(native)
    if layout.grey and layout.rows == 1 and layout.channels > 2:  # equal channels, so that thermal takes them, too
        values = values[:, ::layout.channels].repeat(layout.channels, axis=1)
    if content is THERMAL and (layout.channels == 2 or layout.rows > 1):
        values[:] = 128
    sent = values.astype(native.newbyteorder('>' if is_bigendian else '<')).view(np.uint8)
    padded = np.pad(sent, ((0, 0), (0, padding)), constant_values=7)
    fields = {'encoding': encoding, 'height': height, 'width': width}
    plain, name = decode_image(content, step=sent.shape[1], is_bigendian=sys.byteorder == 'big',
                               data=values.tobytes(), **fields)
    pixels, same_name = decode_image(content, step=padded.shape[1], is_bigendian=is_bigendian,
                                     data=memoryview(bytes(offset) + padded.tobytes())[offset:], **fields)
    assert name == same_name
    np.testing.assert_array_equal(pixels, plain)


FILES = {'png': cv2.imencode('.png', DEPTHS)[1], 'jpeg': cv2.imencode('.jpg', COLOURS)[1],
         '16UC1; compressedDepth png': np.concatenate((np.zeros(12, np.uint8), cv2.imencode('.png', DEPTHS)[1])),
         '16UC1; compressedDepth rvl': np.frombuffer(bytes(12) + rvl(DEPTHS), np.uint8),
         'bayer_rggb8; jpeg compressed ': cv2.imencode('.jpg', GREY)[1], 'tiff': cv2.imencode('.tiff', DEPTHS)[1]}


@pytest.mark.parametrize('format', FILES)
@pytest.mark.parametrize('content', [RGB, DEPTH, THERMAL])
def test_damaged_compressed_images_are_an_image_or_one_clear_error(content, format):
    rng = np.random.default_rng(6)
    for _ in range(60):
        data = FILES[format].copy()
        data[rng.integers(0, len(data), rng.integers(1, 9))] = rng.integers(0, 256)
        try:
            decode_compressed_image(content, format=format, data=data[:rng.integers(1, len(data) + 1)].tobytes())
        except ImageError as error:
            assert str(error)
