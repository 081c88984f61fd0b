import numpy as np
import pytest

from rsgmamba_ros.data.corruptions import corrupt, families_of
from rsgmamba_ros.data.sensors import DEPTH_SENSORS, draw_sensor_pair, draw_view, SensorPair
from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.vocabulary.images import Modality


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope='module', params=[Modality.DEPTH, Modality.THERMAL])
def scene(request):
    images = SceneGenerator(3, height=120, width=160, auxiliary=request.param).render(2.0)
    return request.param, images.rgb, images.auxiliary


def test_a_pair_of_cameras_keeps_shapes_and_inputs_and_repeats_itself(scene):
    auxiliary, rgb, image = scene
    before = rgb.copy(), image.copy()
    for seed in range(20):
        results = [draw_sensor_pair(auxiliary, generator(seed)).apply(rgb, image, rng=generator(1)) for _ in range(2)]
        for (colour, measured), (again, measured_again) in [results]:
            assert colour.shape == rgb.shape and colour.dtype == np.uint8
            assert measured.shape == image.shape and measured.dtype == np.float32
            np.testing.assert_array_equal(colour, again)
            np.testing.assert_array_equal(measured, measured_again)
    np.testing.assert_array_equal(rgb, before[0])
    np.testing.assert_array_equal(image, before[1])


def test_the_default_pair_changes_nothing(scene):
    _, rgb, image = scene
    colour, measured = SensorPair().apply(rgb, image, rng=generator())
    np.testing.assert_array_equal(colour, rgb)
    np.testing.assert_array_equal(measured, image)


@pytest.mark.parametrize('kind', DEPTH_SENSORS)
def test_failures_can_be_put_on_top_of_a_cameras_look(kind):
    images = SceneGenerator(3, height=120, width=160, auxiliary=Modality.DEPTH).render(2.0)
    rgb, depth = draw_sensor_pair(Modality.DEPTH, generator(), kind=kind).apply(images.rgb, images.auxiliary,
                                                                               rng=generator())
    for modality, image in ((Modality.RGB, rgb), (Modality.DEPTH, depth)):
        for family in families_of(modality):
            corrupt(image, family, 3, rng=generator(), previous=image)


def test_a_view_scales_the_distances_of_all_images():
    depth = np.full((30, 40), 2.0, np.float32)
    rgb = np.full((30, 40, 3), 120, np.uint8)
    pairs = [draw_sensor_pair(Modality.DEPTH, generator(seed), kind='simulator') for seed in range(20)]
    for pair in pairs:
        assert pair.apply(rgb, depth, rng=generator())[1] == pytest.approx(2 * pair.view.depth_scale, abs=0.001)
    assert min(pair.view.depth_scale for pair in pairs) < 0.7 < 1 < max(pair.view.depth_scale for pair in pairs)


def test_the_camera_as_recorded_keeps_its_distances():
    assert all(draw_sensor_pair(Modality.DEPTH, generator(seed), kind='as_recorded').view.depth_scale == 1
               for seed in range(10))


def test_views_lie_in_their_range_and_do_not_leave_that_of_the_camera():
    scales = [draw_view(generator(seed)).depth_scale for seed in range(300)]
    assert 0.35 <= min(scales) < 0.4 and 1.5 < max(scales) <= 1.6 and 0.3 < np.mean(np.array(scales) == 1) < 0.5
    limited = [draw_view(generator(seed), min_m=0.6, max_m=4.8).depth_scale for seed in range(300)]
    assert min(limited) >= 0.5 and max(limited) <= 1.2


def test_thermal_cameras_stay_in_the_range_of_the_dataset():
    thermal = generator().uniform(15, 30, (30, 40)).astype(np.float32)
    rgb = np.full((30, 40, 3), 120, np.uint8)
    for seed in range(30):
        pair = draw_sensor_pair(Modality.THERMAL, generator(seed), thermal_range=(0.0, 50.0))
        measured = pair.apply(rgb, thermal, rng=generator())[1]
        assert measured.min() >= 0 and measured.max() <= 50


def test_wrong_images_are_named():
    pair = draw_sensor_pair(Modality.DEPTH, generator())
    rgb, depth = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32)
    with pytest.raises(ValueError, match='rgb is'):
        pair.apply(rgb.astype(np.float32), depth, rng=generator())
    with pytest.raises(ValueError, match='auxiliary image is'):
        pair.apply(rgb, depth[:4], rng=generator())
    with pytest.raises(ValueError, match='depth or thermal'):
        draw_sensor_pair(Modality.RGB, generator())
