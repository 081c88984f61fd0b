from dataclasses import replace

import pytest

from rsgmamba_ros.network.checkpoint import load_checkpoint
from rsgmamba_ros.network.presets import PRESETS
from rsgmamba_ros.network.shipped import checkpoint_path, DEFAULTS, SYNTHETIC
from rsgmamba_ros.vocabulary.errors import CheckpointError
from rsgmamba_ros.vocabulary.images import Modality


@pytest.fixture
def folder(tmp_path):
    for name in ('lite_nyuv2_13', 'other'):
        (tmp_path / f'{name}.safetensors').touch()
    return tmp_path


def test_nothing_named_is_the_default_of_the_modality(folder):
    assert checkpoint_path('', Modality.DEPTH, folder=folder).stem == 'lite_nyuv2_13'


def test_a_name_is_that_of_a_shipped_one(folder):
    assert checkpoint_path('other', Modality.DEPTH, folder=folder).stem == 'other'


def test_a_file_is_taken_as_it_is(folder):
    assert checkpoint_path(str(folder / 'other.safetensors'), Modality.DEPTH) == folder / 'other.safetensors'


@pytest.mark.parametrize('name, modality, shown', [
    ('none', Modality.DEPTH, 'none'), ('', Modality.THERMAL, 'lite_msrs_3')])
def test_what_is_not_there_is_an_error_that_lists_what_is(folder, name, modality, shown):
    with pytest.raises(CheckpointError,
                       match=rf"'{shown}' is neither a file nor one of the shipped \['lite_nyu.*', 'other'\]"):
        checkpoint_path(name, modality, folder=folder)


@pytest.mark.parametrize('preset, name, modality', [
    (preset, name, modality) for preset, names in (('lite', DEFAULTS), ('nano', SYNTHETIC))
    for modality, name in names.items()])
def test_a_shipped_network_is_of_its_preset(preset, name, modality):
    config = load_checkpoint(checkpoint_path(name, modality)).network.config
    assert config == replace(PRESETS[preset], classes=config.classes, auxiliary=modality)
