"""The node's parameters: which values are refused, and where each one goes."""
from dataclasses import replace
import math

import pytest

from rsgmamba_ros.pipeline.node_settings import NodeSettings, PARAMETERS, parse_settings
from rsgmamba_ros.pipeline.segmenter_config import SegmenterConfig
from rsgmamba_ros.pipeline.synchronisation.config import SynchroniserConfig
from rsgmamba_ros.vocabulary.decoding import Decoding
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

LIMITED = {name: parameter.limits for name, parameter in PARAMETERS.items() if parameter.limits}
#: Values that no default is equal to.
OTHER = {
    'max_skew_s': 0.02, 'max_wait_s': 0.3, 'max_delay_s': 0.4, 'auxiliary_clock_offset_s': -0.25,
    'estimate_clock_offset': True, 'lead_with_auxiliary': False, 'reuse_partner': False, 'min_signal_quality': 0.3,
    'restore': True, 'late_fusion': False, 'output_height': 48, 'output_width': 64, 'thermal_scale': 0.04,
    'thermal_offset': -40.0, 'thermal_stretch': 'range', 'expect_noise': False, 'sensor_profile': 'front.yaml',
    'max_image_pixels': 1000, 'depth_unit_m': 0.0001}


def number(name, value):
    """A value of the parameter's type."""
    return type(PARAMETERS[name].default)(value)


@pytest.mark.parametrize('name', LIMITED)
def test_a_parameter_takes_its_smallest_and_largest_value_and_nothing_beyond(name):
    low, high = LIMITED[name]
    for value in (low, high):
        assert parse_settings({name: number(name, value)}, where='file').as_parameters()[name] == value
    step = 1 if isinstance(PARAMETERS[name].default, int) else 0.01 * (high - low)
    for value in (low - step, high + step):
        with pytest.raises(ConfigError, match=rf'{name} is .*; it must lie in {low:g}\.\.'):
            parse_settings({name: number(name, value)}, where='file')


@pytest.mark.parametrize('name', [name for name, parameter in PARAMETERS.items() if parameter.choices])
def test_a_parameter_takes_each_of_its_choices_and_nothing_else(name):
    for choice in PARAMETERS[name].choices:
        assert parse_settings({name: choice}, where='file').as_parameters()[name] == choice
    with pytest.raises(ConfigError, match=rf'{name} is .neither.; expected one of'):
        parse_settings({name: 'neither'}, where='file')


def test_the_nearest_name_is_proposed_for_one_that_is_unknown():
    with pytest.raises(ConfigError, match=r"file: unknown parameter 'max_skev_s'; did you mean 'max_skew_s'\?"):
        parse_settings({'max_skev_s': 0.1}, where='file')


def test_what_is_not_named_has_its_default():
    assert parse_settings({}, where='file') == NodeSettings()
    assert parse_settings({'rgb.transport': 'raw'}, where='file') == replace(NodeSettings(), rgb_transport='raw')


def test_every_value_reaches_the_part_that_uses_it():
    settings = parse_settings(OTHER, where='file')
    assert all(PARAMETERS[name].default != value for name, value in OTHER.items())
    synchroniser = settings.synchroniser((Modality.RGB, Modality.THERMAL))
    assert synchroniser == SynchroniserConfig(
        leader=Modality.RGB, modalities=(Modality.RGB, Modality.THERMAL), max_skew_s=0.02, max_wait_s=0.3,
        max_delay_s=0.4, lead_with_auxiliary=False, reuse_partner=False, clock_offset_s={Modality.THERMAL: -0.25},
        estimate_clock_offset=True)
    assert settings.segmenter() == SegmenterConfig(
        min_signal_quality=0.3, restore=True, late_fusion=False, output_height=48, output_width=64, thermal_scale=0.04,
        thermal_offset=-40.0, thermal_stretch='range', expect_noise=False, sensor_profile='front.yaml')
    assert settings.decoding() == Decoding(max_image_pixels=1000, depth_unit_m=0.0001)


def test_a_temperature_that_is_not_set_is_that_of_the_checkpoint():
    assert math.isnan(NodeSettings().thermal_scale)
    assert NodeSettings().segmenter() == SegmenterConfig()


def test_one_error_names_every_value_that_is_wrong():
    with pytest.raises(ConfigError, match='threads is -1.*; min_confidence is 2'):
        NodeSettings(threads=-1, min_confidence=2.0)


def test_only_what_takes_effect_at_once_may_change_while_the_node_runs():
    assert [name for name, parameter in PARAMETERS.items() if parameter.at_run_time] == [
        'min_signal_quality', 'restore', 'min_confidence', 'unlabelled_value', 'learn_sensor_s', 'overlay_alpha']
