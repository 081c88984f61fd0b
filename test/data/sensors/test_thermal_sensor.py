from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from rsgmamba_ros.data.sensors import apply_thermal, draw_thermal_sensor, ThermalSensor
from rsgmamba_ros.data.sensors.thermal_sensor import GainControl
from rsgmamba_ros.vocabulary.errors import ConfigError


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope='module')
def image():
    y, x = np.mgrid[:120, :160].astype(np.float32)
    values = 90 + 0.2 * x + 0.1 * y
    values[40:80, 60:80] += 60
    return values


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2 ** 32 - 1), st.integers(0, 9), st.integers(0, 9), st.sampled_from(['none', 'some', 'all']))
def test_any_size_and_any_invalid_pixels_are_safe(seed, height, width, invalid):
    rng = generator(seed)
    thermal = rng.uniform(0, 255, (height, width)).astype(np.float32)
    thermal[rng.random((height, width)) < {'none': 0, 'some': 0.4, 'all': 1}[invalid]] = np.nan
    before = thermal.copy()
    result = apply_thermal(draw_thermal_sensor(rng), thermal, rng=rng)
    assert result.shape == thermal.shape and result.dtype == np.float32 and not np.shares_memory(result, thermal)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(thermal))
    np.testing.assert_array_equal(thermal, before)


def test_equal_seeds_give_equal_cameras_and_images(image):
    for seed in range(10):
        one, other = (apply_thermal(draw_thermal_sensor(generator(seed)), image, rng=generator(1)) for _ in range(2))
        np.testing.assert_array_equal(one, other)


def test_a_camera_as_recorded_changes_nothing(image):
    np.testing.assert_array_equal(apply_thermal(ThermalSensor(), image, rng=generator()), image)


def test_every_gain_control_is_drawn():
    rng = generator()
    assert {draw_thermal_sensor(rng).gain_control for _ in range(100)} == set(GainControl)


@pytest.mark.parametrize('low, high', [(0.0, 255.0), (10.0, 40.0)])
@pytest.mark.parametrize('gain', [kind for kind in GainControl if kind is not GainControl.AS_RECORDED])
def test_the_output_stays_within_the_limits_and_hot_stays_hot(image, gain, low, high):
    thermal = low + image / 255 * (high - low)
    sensor = ThermalSensor(gain, low, high, noise=0.01)
    result = apply_thermal(sensor, thermal.astype(np.float32), rng=generator())
    assert result.min() >= low and result.max() <= high
    assert result[45:75, 65:75].mean() > result[45:75, 90:110].mean()
    inverted = apply_thermal(replace(sensor, inverted=True), thermal.astype(np.float32), rng=generator())
    np.testing.assert_allclose(inverted - low, high - result, atol=1e-3 * (high - low))


def test_the_linear_stretch_uses_the_whole_range_and_raw_a_part_of_it(image):
    linear = apply_thermal(ThermalSensor(GainControl.LINEAR), image, rng=generator())
    assert linear.min() == 0 and linear.max() == 255
    raw = apply_thermal(ThermalSensor(GainControl.RAW, raw_share=0.2, raw_level=0.6), image, rng=generator())
    assert np.ptp(raw) == pytest.approx(0.2 * np.ptp(image), rel=0.01) and abs(raw.mean() - 0.6 * 255) < 0.1 * 255


def test_full_equalisation_gives_each_value_an_equal_share(image):
    result = apply_thermal(ThermalSensor(GainControl.EQUALISED, tail_percent=0.0), image, rng=generator())
    counts, _ = np.histogram(result, bins=8, range=(0, 255))
    assert counts.min() > 0.8 * image.size / 8 and counts.max() < 1.2 * image.size / 8


def test_the_fixed_pattern_is_the_same_in_all_images_and_differs_between_cameras(image):
    def pattern(seed, values):
        sensor = ThermalSensor(stripes=0.01, shading=0.02, pattern_seed=seed)
        return apply_thermal(sensor, values, rng=generator()) - values
    np.testing.assert_allclose(pattern(1, image), pattern(1, image[::-1].copy()), atol=1e-3)
    assert np.abs(pattern(1, image) - pattern(2, image)).max() > 1


def test_few_columns_soften_edges(image):
    result = apply_thermal(ThermalSensor(width_px=40), image, rng=generator())
    assert np.abs(np.diff(result[60])).max() < 0.6 * np.abs(np.diff(image[60])).max()


def test_wrong_limits_are_named():
    with pytest.raises(ConfigError, match='low < high'):
        ThermalSensor(low=5.0, high=5.0)
