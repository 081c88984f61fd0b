from base64 import b64encode
from dataclasses import replace
import zlib

import numpy as np
import pytest
import yaml

from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import (
    LARGEST_FILE_BYTES,
    load_profile,
    save_profile,
    SensorProfile,
    Signature,
)

FIGURES = 7


@pytest.fixture
def profile():
    values = np.random.default_rng(0).normal(size=(2, FIGURES)).astype(np.float32)
    return SensorProfile(Modality.DEPTH, 20, values[0], np.abs(values[1]), 'a corridor',
                         {'depth/holes': Signature(2 * values[1], 6)})


@pytest.fixture
def changed_file(tmp_path, profile):
    """Save a profile, change entries of the file (None takes one out), and give its path."""
    def change(**entries):
        path = tmp_path / 'front.yaml'
        save_profile(path, profile)
        content = {**yaml.safe_load(path.read_text()), **entries}
        path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
        return path
    return change


def encoded(*values):
    return b64encode(zlib.compress(np.array(values, '<f2').tobytes())).decode()


def test_a_profile_read_back_is_what_was_saved_to_half_precision(tmp_path, profile):
    path = tmp_path / 'robots' / 'front.yaml'
    save_profile(path, profile)
    read = load_profile(path)
    assert (read.auxiliary, read.images, read.source) == (Modality.DEPTH, 20, 'a corridor')
    for ours, theirs in ((read.mean, profile.mean), (read.deviation, profile.deviation)):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-7)  # half precision has 11 bits
    assert list(read.signatures) == ['depth/holes'] and read.signatures['depth/holes'].images == 6
    change = profile.signatures['depth/holes'].change
    np.testing.assert_allclose(read.signatures['depth/holes'].change, change, rtol=1e-3)
    assert [file.name for file in path.parent.iterdir()] == ['front.yaml']


def test_a_saved_profile_replaces_an_older_one(tmp_path, profile):
    save_profile(tmp_path / 'front.yaml', profile)
    save_profile(tmp_path / 'front.yaml', replace(profile, images=31))
    assert load_profile(tmp_path / 'front.yaml').images == 31


@pytest.mark.parametrize('change, message', [
    ({'images': 4}, 'too few'),
    ({'images': 10 ** 30}, 'damaged'),
    ({'auxiliary': Modality.RGB}, 'beside RGB'),
    ({'mean': np.zeros(3, np.float32)}, 'same length'),
    ({'mean': np.zeros((FIGURES, 1), np.float32)}, 'same length'),
    ({'mean': np.full(FIGURES, np.nan, np.float32)}, 'finite'),
    ({'deviation': np.full(FIGURES, np.inf, np.float32)}, 'finite'),
    ({'deviation': np.full(FIGURES, -0.1, np.float32)}, 'negative'),
])
def test_an_impossible_profile_is_refused_with_the_reason(profile, change, message):
    with pytest.raises(ProfileError, match=message):
        replace(profile, **change)


@pytest.mark.parametrize('entries, message', [
    ({'version': 1}, 'version 2'),
    ({'version': None}, 'version 2'),
    ({'auxiliary': 'sonar'}, 'damaged'),
    ({'auxiliary': None}, r'damaged sensor profile \(auxiliary\)'),
    ({'images': None}, r'damaged sensor profile \(images\)'),
    ({'images': 3}, 'too few'),
    ({'images': True}, 'images'),
    ({'images': float('inf')}, 'images'),
    ({'mean': 'no base64!'}, 'damaged'),
    ({'mean': b64encode(b'odd').decode()}, 'damaged'),
    ({'mean': b64encode(b'no zlib').decode()}, 'damaged'),
    ({'mean': b64encode(zlib.compress(bytes(LARGEST_FILE_BYTES + 2))).decode()}, 'far too many'),
    ({'mean': encoded(1, 2)}, 'same length'),
    ({'signatures': None}, 'signatures'),
    ({'signatures': {'depth/holes': 3}}, 'damaged'),
    ({'signatures': {'depth/holes': {'images': 6}}}, 'damaged'),
    ({'signatures': {'depth/holes': {'images': 0, 'change': encoded(*[1] * FIGURES)}}}, 'depth/holes'),
    ({'signatures': {'depth/holes': {'images': 6, 'change': encoded(1)}}}, 'depth/holes'),
    ({'signatures': {str(index): {} for index in range(101)}}, '101 signatures'),
    ({'mean': encoded(*[np.nan] * FIGURES)}, 'finite'),
    ({'deviation': encoded(*[-1] * FIGURES)}, 'negative'),
    ({'deviation': [0.5] * FIGURES}, 'deviation'),
    ({'source': ['a', 'list']}, 'source'),
])
def test_a_damaged_file_is_refused_with_its_name_and_the_reason(changed_file, entries, message):
    path = changed_file(**entries)
    with pytest.raises(ProfileError, match=message) as error:
        load_profile(path)
    assert 'front.yaml' in str(error.value)


@pytest.mark.parametrize('content', [
    b'', b'- a list', b'text', b'a: [', b'\xff\xfe\x00', b'!!python/object/apply:os.system ["true"]', b'[' * 100_000])
def test_a_file_that_is_no_profile_is_refused(tmp_path, content):
    path = tmp_path / 'other.yaml'
    path.write_bytes(content)
    with pytest.raises(ProfileError, match='no sensor profile'):
        load_profile(path)


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / 'large.yaml'
    path.write_bytes(b' ' * (LARGEST_FILE_BYTES + 1))
    with pytest.raises(ProfileError, match='a sensor profile has some thirty thousand'):
        load_profile(path)


def test_aliases_that_multiply_are_refused_in_one_short_line(tmp_path):
    lines = ['version: 2', 'l0: &l0 [a, a, a, a, a, a, a, a, a, a]']
    lines += [f'l{index}: &l{index} [{", ".join([f"*l{index - 1}"] * 10)}]' for index in range(1, 12)]
    path = tmp_path / 'aliases.yaml'
    path.write_text('\n'.join([*lines, 'auxiliary: *l11', 'source: *l11']))
    with pytest.raises(ProfileError) as error:
        load_profile(path)
    assert len(str(error.value)) < 500


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ProfileError, match='rsgmamba profile BAG_OR_FOLDER'):
        load_profile(tmp_path / 'none.yaml')


def test_a_folder_that_is_a_file_is_a_known_error(tmp_path, profile):
    (tmp_path / 'file').touch()
    with pytest.raises(ProfileError, match='cannot write'):
        save_profile(tmp_path / 'file' / 'front.yaml', profile)


def test_a_figure_beyond_half_precision_is_refused_and_leaves_the_older_file(tmp_path, profile):
    save_profile(tmp_path / 'front.yaml', profile)
    with pytest.raises(ProfileError, match='half precision'):
        save_profile(tmp_path / 'front.yaml', replace(profile, mean=np.full(FIGURES, 1e6, np.float32)))
    assert load_profile(tmp_path / 'front.yaml').images == 20
