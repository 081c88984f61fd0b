import numpy as np
import pytest

from rsgmamba_ros.pipeline.monitoring.advice import advice
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig, ThermalScaling, ThermalStretch

RGB, DEPTH, THERMAL = Modality
CONFIG = PreprocessingConfig()
ROOM = np.random.default_rng(0).uniform(0.6, 4, (96, 128)).astype(np.float32)


def test_a_room_needs_no_advice():
    assert advice(DEPTH, ROOM, CONFIG, causes=()) == ''
    assert advice(RGB, np.zeros((96, 128, 3), np.uint8), CONFIG, causes=('dark',)) == ''


@pytest.mark.parametrize('factor', [20, 1000, 0.01])
def test_depth_in_another_unit_names_the_parameter(factor):
    text = advice(DEPTH, ROOM * factor, CONFIG, causes=())
    assert 'lie outside 0.4 to 10 m' in text and 'set depth_unit_m' in text


def test_a_room_in_part_out_of_range_needs_no_advice():
    values = ROOM.copy()
    values[:60] += 10
    assert advice(DEPTH, values, CONFIG, causes=()) == ''


def test_raw_counts_for_a_network_of_temperatures_name_the_parameters():
    text = advice(THERMAL, ROOM * 1000 + 7000, CONFIG, causes=())
    assert 'lie outside 0 to 50 celsius' in text
    assert 'thermal_scale' in text and 'thermal_stretch to percentile' in text


def test_a_stretch_by_percentiles_needs_no_scale():
    config = PreprocessingConfig(thermal=ThermalScaling(stretch=ThermalStretch.PERCENTILE))
    assert advice(THERMAL, ROOM * 1000 + 7000, config, causes=()) == ''


def test_an_image_without_measurements_tells_nothing():
    assert advice(DEPTH, np.full((96, 128), np.nan, np.float32), CONFIG, causes=()) == ''


def test_frozen_images_name_the_parameter_of_a_simulation():
    assert 'expect_noise' in advice(RGB, ROOM, CONFIG, causes=('frozen',))
