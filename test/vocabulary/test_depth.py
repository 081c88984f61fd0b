import numpy as np
import pytest

from rsgmamba_ros.vocabulary.depth import depth_in_metres, depth_in_millimetres


@pytest.mark.parametrize('pixels, unit_m, metres', [
    (np.array([[0, 1, 1500, 65534, 65535]], np.uint16), 0.001, [np.nan, 0.001, 1.5, 65.534, np.nan]),
    (np.array([[0, 5000]], np.uint16), 0.0002, [np.nan, 1.0]),
    (np.array([[0, 70000]], np.int32), 0.001, [np.nan, 70.0]),
    (np.array([[0, 255]], np.uint8), 0.1, [np.nan, 25.5]),
    (np.array([[0.0, -1.0, np.inf, -np.inf, np.nan, 2.5]], np.float64), 0.001, [np.nan] * 5 + [2.5])])
def test_marks_of_invalid_pixels_become_nan_and_the_rest_metres(pixels, unit_m, metres):
    before = pixels.copy()
    result = depth_in_metres(pixels, unit_m=unit_m)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [metres], rtol=1e-6)
    np.testing.assert_array_equal(pixels, before)


def test_millimetres_round_clip_and_mark_what_has_no_measurement_with_0():
    metres = np.array([[np.nan, 0.0004, 1.2346, 70.0, np.inf]], np.float32)
    np.testing.assert_array_equal(depth_in_millimetres(metres), [[0, 0, 1235, 65535, 65535]])


def test_millimetres_survive_the_way_to_metres_and_back():
    every = np.arange(65535, dtype=np.uint16)[None]
    np.testing.assert_array_equal(depth_in_millimetres(depth_in_metres(every)), every)
