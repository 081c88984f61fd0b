from dataclasses import asdict, replace
import json

import numpy as np
import pytest

from rsgmamba_ros.pipeline.preprocessing import network_input, preprocess, sensor_units
from rsgmamba_ros.vocabulary.config_file import parse_config
from rsgmamba_ros.vocabulary.errors import ConfigError, ImageError
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage
from rsgmamba_ros.vocabulary.preprocessing import (
    DepthLaw,
    DepthScaling,
    INVALID_VALUE,
    padded,
    PreprocessingConfig,
    ThermalScaling,
    ThermalStretch,
)

CONFIG = PreprocessingConfig(height=32, width=64)


def image(pixels: np.ndarray, encoding: str, modality: Modality) -> StampedImage:
    return StampedImage(modality, 0, 0, pixels, encoding)


def depth(values: list, dtype: type, encoding: str) -> StampedImage:
    pixels: np.ndarray = np.full((16, 16), 2000 if dtype is np.uint16 else 2.0, dtype)
    pixels[0, :len(values)] = values
    return image(pixels, encoding, Modality.DEPTH)


def test_integer_depth_is_millimetres_and_zero_and_saturation_are_invalid():
    metres = sensor_units(depth([0, 1, 1500, 65535, 65534], np.uint16, '16UC1'), CONFIG)
    np.testing.assert_allclose(metres[0, :5], [np.nan, 0.001, 1.5, np.nan, 65.534], rtol=1e-6)


def test_float_depth_is_metres_and_what_is_no_distance_is_invalid():
    given = depth([np.nan, np.inf, -np.inf, 0, -1, 3.25], np.float32, '32FC1')
    metres = sensor_units(given, CONFIG)
    np.testing.assert_array_equal(metres[0, :6], np.float32([np.nan] * 5 + [3.25]))
    assert np.isinf(given.pixels[0, 1]), 'the image itself is not changed'


def test_depth_without_one_valid_pixel_is_an_error():
    with pytest.raises(ImageError, match='no valid pixel'):
        sensor_units(image(np.zeros((20, 20), np.uint16), '16UC1', Modality.DEPTH), CONFIG)


def test_thermal_counts_become_the_unit_and_floats_are_the_unit():
    counts = sensor_units(image(np.full((16, 16), 29315, np.uint16), 'mono16', Modality.THERMAL), CONFIG)
    np.testing.assert_allclose(counts, 20.0, atol=1e-3)
    celsius = np.full((16, 16), 21.5, np.float32)
    np.testing.assert_array_equal(sensor_units(image(celsius, '32FC1', Modality.THERMAL), CONFIG), celsius)


@pytest.mark.parametrize('given, message', [
    (image(np.zeros((16, 16, 3), np.uint8), 'bgr8', Modality.RGB), "'bgr8'; expected one of"),
    (image(np.zeros((16, 16), np.float32), '16UC1', Modality.DEPTH), 'holds float32; expected uint16'),
    (image(np.zeros((1, 1, 3), np.uint8), 'rgb8', Modality.RGB), '1x1'),
    (image(np.zeros((16, 16), np.uint8), 'rgb8', Modality.RGB), 'shape'),
])
def test_an_image_of_another_kind_is_refused_with_what_was_expected(given, message):
    with pytest.raises(ImageError, match=message):
        sensor_units(given, CONFIG)


def test_rgb_is_normalised_by_imagenet_statistics():
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[..., 1] = 255
    result = network_input(pixels, Modality.RGB, CONFIG)
    expected = (np.array([0, 1, 0]) - CONFIG.rgb_mean) / CONFIG.rgb_std
    np.testing.assert_allclose(result[:, 5, 7], expected, rtol=1e-5)


@pytest.mark.parametrize('law', DepthLaw)
def test_every_depth_law_maps_the_range_to_plus_minus_two_and_rises(law):
    config = replace(CONFIG, depth=DepthScaling(min_m=0.5, max_m=8.0, law=law))
    metres = np.linspace(0.25, 10, 32 * 64, dtype=np.float32).reshape(32, 64)
    values = network_input(metres, Modality.DEPTH, config)[0].ravel()
    assert values[0] == -2 and values[-1] == pytest.approx(2, abs=1e-5)
    assert (np.diff(values) >= -1e-6).all()


def test_a_speck_is_filled_from_its_neighbours_and_a_wide_hole_keeps_its_mark():
    metres = np.full((32, 64), 2.0, np.float32)
    metres[3, 3] = np.nan
    metres[10:20, 10:20] = np.nan
    values = network_input(metres, Modality.DEPTH, CONFIG)
    assert values[0, 3, 3] == values[0, 0, 0]
    assert (values[:, 12:18, 12:18] == INVALID_VALUE).all()
    assert np.isfinite(values).all()


def test_depth_is_not_averaged_over_an_edge():
    metres = np.ones((64, 128), np.float32)
    metres[:, 37:] = 8.0
    values = network_input(metres, Modality.DEPTH, CONFIG)[0]
    assert len(np.unique(values)) == 2


def test_sides_are_padded_to_the_stride_with_the_edge():
    config = PreprocessingConfig(height=40, width=50)
    rgb = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    values = network_input(rgb, Modality.RGB, config)
    assert values.shape == (3, 64, 64)
    np.testing.assert_array_equal(values[:, 50, :50], values[:, 39, :50])
    np.testing.assert_array_equal(values[:, :, 60], values[:, :, 49])
    assert [padded(side) for side in (1, 32, 33)] == [32, 32, 64]


def test_percentile_stretch_does_not_depend_on_gain_and_offset():
    config = replace(CONFIG, thermal=ThermalScaling(stretch=ThermalStretch.PERCENTILE))
    values = np.random.default_rng(0).normal(20, 3, (32, 64)).astype(np.float32)
    first = network_input(values, Modality.THERMAL, config)
    np.testing.assert_allclose(np.percentile(first, (3, 50, 97)), [-1.6, 0, 1.6], atol=0.5)
    np.testing.assert_allclose(network_input(values * 4 + 100, Modality.THERMAL, config), first, atol=1e-3)


def test_a_modality_that_is_not_used_is_zero_and_unavailable():
    rgb = image(np.full((32, 64, 3), 200, np.uint8), 'rgb8', Modality.RGB)
    metres = depth([], np.uint16, '16UC1')
    slots = {m: BundleSlot(Presence.PRESENT, item) for m, item in ((Modality.RGB, rgb), (Modality.DEPTH, metres))}
    bundle = ImageBundle(Modality.RGB, slots, 0)
    images, available = preprocess(bundle, (Modality.RGB,), CONFIG, modalities=(Modality.RGB, Modality.DEPTH))
    assert images.shape == (1, 2, 3, 32, 64) and available.tolist() == [[True, False]]
    assert (images[0, 1] == 0).all() and (images[0, 0] != 0).all()


def test_the_configuration_survives_json():
    thermal = ThermalScaling(unit='kelvin', high=400.0)
    config = replace(CONFIG, depth=DepthScaling(law=DepthLaw.INVERSE), thermal=thermal)
    assert parse_config(json.loads(json.dumps(asdict(config))), PreprocessingConfig) == config


def test_limits_that_make_no_range_are_refused():
    for create in (lambda: DepthScaling(min_m=2, max_m=1), lambda: ThermalScaling(low=1, high=1),
                   lambda: PreprocessingConfig(height=8)):
        with pytest.raises(ConfigError):
            create()


def test_a_bundle_without_an_image_that_is_to_be_used_is_an_error():
    rgb = BundleSlot(Presence.PRESENT, image(np.zeros((16, 16, 3), np.uint8), 'rgb8', Modality.RGB))
    bundle = ImageBundle(Modality.RGB, {Modality.RGB: rgb}, 0)
    with pytest.raises(ImageError, match='the bundle has no depth image'):
        preprocess(bundle, tuple(bundle.slots) + (Modality.DEPTH,), CONFIG, modalities=(Modality.RGB, Modality.DEPTH))


def test_an_image_of_one_temperature_is_finite_under_the_percentile_stretch():
    config = replace(CONFIG, thermal=ThermalScaling(stretch=ThermalStretch.PERCENTILE))
    flat = network_input(np.full((32, 64), 20.5, np.float32), Modality.THERMAL, config)
    assert np.ptp(flat) == 0 and flat.min() > INVALID_VALUE
