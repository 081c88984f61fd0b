from dataclasses import fields

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from rsgmamba_ros.data.sensors import apply_colour, ColourSensor, draw_colour_sensor


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope='module')
def image():
    y, x = np.mgrid[:120, :160]
    rgb = np.stack([x, y * 1.5, 90 + 0 * x], axis=2)
    rgb[40:80, 60:100] += (60, -30, 60)
    return np.clip(rgb, 0, 255).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2 ** 32 - 1), st.integers(0, 9), st.integers(0, 9))
def test_shape_and_dtype_are_kept_at_any_size(seed, height, width):
    rgb = generator(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = rgb.copy()
    result = apply_colour(draw_colour_sensor(generator(seed)), rgb, rng=generator(seed))
    assert result.shape == rgb.shape and result.dtype == np.uint8 and not np.shares_memory(result, rgb)
    np.testing.assert_array_equal(rgb, before)


def test_equal_seeds_give_equal_cameras_and_images(image):
    for seed in range(10):
        one, other = (apply_colour(draw_colour_sensor(generator(seed)), image, rng=generator(1)) for _ in range(2))
        np.testing.assert_array_equal(one, other)


def test_a_camera_without_effects_changes_nothing(image):
    np.testing.assert_array_equal(apply_colour(ColourSensor(), image, rng=generator()), image)


def test_images_of_one_camera_have_one_colour_and_those_of_another_another(image):
    def means(sensor):
        return [apply_colour(sensor, image, rng=generator(seed)).mean(axis=(0, 1)) for seed in range(6)]
    cameras = [means(draw_colour_sensor(generator(seed))) for seed in range(30)]
    within = np.mean([np.var(camera, axis=0) for camera in cameras])
    assert np.var([np.mean(camera, axis=0) for camera in cameras], axis=0).mean() > 5 * within


@pytest.mark.parametrize('changed', [item.name for item in fields(ColourSensor) if item.name != 'exposure_jitter'])
def test_every_parameter_has_an_effect(image, changed):
    value = {'gains': (1.2, 1.0, 0.8), 'jpeg_quality': 60, 'saturation': 0.5, 'exposure': 0.7, 'gamma': 0.8,
             'resolution': 0.5, 'blur_px': 4.0}.get(changed, 0.8)
    assert (apply_colour(ColourSensor(**{changed: value}), image, rng=generator()) != image).any()


def test_exposure_varies_between_images_of_an_automatic_camera(image):
    sensor = ColourSensor(exposure_jitter=0.1)
    one, other = (apply_colour(sensor, image, rng=generator(seed)).mean() for seed in (0, 1))
    assert one != other


def test_corners_are_darker_with_vignetting():
    grey = np.full((120, 160, 3), 200, np.uint8)
    result = apply_colour(ColourSensor(vignetting=0.4), grey, rng=generator())
    assert result[0, 0, 0] == pytest.approx(120, abs=2) and result[60, 80, 0] == pytest.approx(200, abs=2)


def test_sharpening_makes_halos_and_blur_softens():
    step = np.full((120, 160, 3), 80, np.uint8)
    step[:, 80:] = 160
    assert apply_colour(ColourSensor(sharpening=1.0), step, rng=generator()).max() > 170
    for sensor in (ColourSensor(blur_px=4), ColourSensor(resolution=0.3)):
        row = apply_colour(sensor, step, rng=generator())[60, :, 0].astype(int)
        assert np.diff(row).max() < 70


def test_noise_has_the_given_standard_deviation():
    grey = np.full((120, 160, 3), 128, np.uint8)
    result = apply_colour(ColourSensor(noise=5.0), grey, rng=generator())
    assert np.std(result) == pytest.approx(5, rel=0.05) and result.mean() == pytest.approx(128, abs=0.2)
