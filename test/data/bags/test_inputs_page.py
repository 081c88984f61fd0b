"""docs/inputs.md names everything in the reader's own tables; the encodings are compared in test_encodings.py."""
from pathlib import Path

import pytest

from rsgmamba_ros.data.bags.compression import LARGEST_OUTPUT, LARGEST_RATIO, SMALL_OUTPUT, ZSTD_SUFFIXES
from rsgmamba_ros.data.bags.files import SUFFIXES
from rsgmamba_ros.data.bags.ordering import ORDERS
from rsgmamba_ros.data.bags.reader import IMAGE_TYPES
from rsgmamba_ros.data.layouts import ENDINGS
from rsgmamba_ros.data.messages.video import CODECS
from rsgmamba_ros.pipeline.node_settings import PARAMETERS

PAGE = (Path(__file__).parents[3] / 'docs' / 'inputs.md').read_text(encoding='utf-8')
CODEC_NAMES = {'h264': 'H.264', 'hevc': 'H.265'}


@pytest.mark.parametrize('suffix', [*SUFFIXES, ZSTD_SUFFIXES[0], *ENDINGS])
def test_every_ending_of_a_file_is_named(suffix):
    assert f'{suffix}`' in PAGE or f'{suffix}.' in PAGE


@pytest.mark.parametrize('message_type', IMAGE_TYPES)
def test_every_message_type_is_named(message_type):
    assert f'`{message_type.replace("/msg/", "/")}`' in PAGE


@pytest.mark.parametrize('order', ORDERS)
def test_every_source_of_time_is_named(order):
    assert f'| `{order}` |' in PAGE


@pytest.mark.parametrize('codec', sorted(set(CODECS.values())))
def test_every_codec_is_named(codec):
    assert CODEC_NAMES[codec] in PAGE


@pytest.mark.parametrize('name', ['max_image_pixels', 'depth_unit_m', 'thermal_scale', 'thermal_offset',
                                  'thermal_stretch', 'expect_noise'])
def test_every_parameter_of_the_inputs_is_named(name):
    assert name in PARAMETERS
    assert name in PAGE


def test_the_limits_are_those_of_the_code():
    assert f'{SMALL_OUTPUT >> 20} MiB after decompression, or {LARGEST_RATIO} times its size up to ' in PAGE
    assert f'{LARGEST_OUTPUT >> 30} GiB' in PAGE
    assert f'{PARAMETERS["max_image_pixels"].default // 10**6} million' in PAGE
