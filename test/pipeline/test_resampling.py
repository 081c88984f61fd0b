"""Images of another size, and the holes of an image."""
import numpy as np
import pytest

from rsgmamba_ros.pipeline.resampling import fill_small_holes, resize


@pytest.mark.parametrize('size', [(5, 7), (12, 16), (9, 16), (33, 40)])
def test_the_nearest_pixel_is_a_value_that_was_there(size):
    values = np.random.default_rng(0).choice(np.array([1.0, 3.5, 8.0], np.float32), (12, 16))
    resized = resize(values, *size, nearest=True)
    assert resized.shape == size and set(np.unique(resized)) <= {1.0, 3.5, 8.0}


def test_an_image_that_shrinks_is_averaged_over_areas():
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_allclose(resize(values, 2, 2), [[2.5, 4.5], [10.5, 12.5]])


@pytest.mark.parametrize('upright', [False, True])
def test_an_image_that_shrinks_on_one_side_is_averaged_there(upright):
    stripes = np.tile(np.array([[0, 0, 0, 100]], np.float32), (8, 2))
    shrunk = resize(stripes.T.copy(), 2, 8) if upright else resize(stripes, 8, 2)
    assert (shrunk == 25).all()


def test_an_image_that_grows_is_interpolated():
    values = np.array([[0, 100]], np.float32).repeat(2, axis=0)
    grown = resize(values, 2, 8)[0]
    assert grown[0] == 0 and grown[-1] == 100 and (np.diff(grown) >= 0).all() and len(np.unique(grown)) > 4


def test_an_image_of_the_right_size_is_left_as_it_is():
    values = np.zeros((3, 4, 3), np.uint8)
    assert resize(values, 3, 4) is values and resize(values, 3, 4, nearest=True) is values


def test_a_speck_gets_the_mean_of_its_neighbours():
    values = np.arange(25, dtype=np.float32).reshape(5, 5)
    values[2, 2] = np.nan
    filled = fill_small_holes(values)
    assert filled[2, 2] == pytest.approx(12)
    assert np.isnan(values[2, 2]), 'the argument is not changed'


def test_only_the_rim_of_a_wide_hole_is_filled():
    values = np.full((20, 20), 2.0, np.float32)
    values[5:15, 5:15] = np.nan
    filled = fill_small_holes(values)
    assert np.isnan(filled[6:14, 6:14]).all()
    assert (filled[5, 6:14] == 2).all() and (filled[6:14, 14] == 2).all()
    assert (filled[~np.isnan(values)] == 2).all()


def test_an_image_without_holes_is_left_as_it_is():
    values = np.ones((4, 5), np.float32)
    assert fill_small_holes(values) is values
