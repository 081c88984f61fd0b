from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from rsgmamba_ros.data.sensors import apply_depth, DEPTH_SENSOR_SHARES, DEPTH_SENSORS, DepthSensor, draw_depth_sensor
from rsgmamba_ros.data.sensors.depth_effects import without_comb
from rsgmamba_ros.data.sensors.depth_sensor import DepthNoise, Edges, FieldOfView, Losses, Registration, Triangulation
from rsgmamba_ros.data.synthetic import SceneGenerator
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

KINDS = list(DEPTH_SENSORS)
GREY = np.full((120, 160, 3), 128, np.uint8)


@pytest.fixture(scope='module')
def scenes():
    """Pairs of one generator, their depth filled with a wall 6 m away."""
    generator = SceneGenerator(3, height=120, width=160, auxiliary=Modality.DEPTH)
    pairs = [generator.render(time_s) for time_s in (1.0, 4.0, 9.0)]
    return [(pair.rgb, np.where(np.isnan(pair.auxiliary), np.float32(6), pair.auxiliary)) for pair in pairs]


def generator(seed=0):
    return np.random.default_rng(seed)


def wall(z, shape=(120, 160)):
    return np.full(shape, z, np.float32)


def slope(first, last):
    """Depth that changes along the rows, and so little along the columns that no two pixels are alike."""
    ramp = np.linspace(first, last, 160) + np.linspace(0, 0.01, 120)[:, None]
    return ramp.astype(np.float32)


def box_before_wall():
    depth = wall(3.0)
    depth[40:80, 60:100] = 1.0
    return depth


def test_every_kind_is_drawn():
    assert set(DEPTH_SENSOR_SHARES) == set(DEPTH_SENSORS) and sum(DEPTH_SENSOR_SHARES.values()) == pytest.approx(1)
    rng = generator()
    assert {draw_depth_sensor(rng).kind for _ in range(300)} == set(DEPTH_SENSORS)


@pytest.mark.parametrize('kind', KINDS)
def test_a_drawn_camera_names_its_kind_and_follows_from_the_seed(kind):
    one, other = (draw_depth_sensor(generator(5), kind=kind) for _ in range(2))
    assert one.kind == kind and repr(one) == repr(other)
    if kind != 'as_recorded':
        assert repr(one) != repr(draw_depth_sensor(generator(6), kind=kind))


@pytest.mark.parametrize('kind', KINDS)
def test_shape_and_dtype_are_kept_and_the_input_is_not_changed(scenes, kind):
    rgb, depth = scenes[0]
    before = depth.copy()
    for seed in range(8):
        result = apply_depth(draw_depth_sensor(generator(seed), kind=kind), rgb, depth, rng=generator(seed))
        assert result.shape == depth.shape and result.dtype == np.float32 and not np.shares_memory(result, depth)
        assert np.isnan(result).all() or np.nanmin(result) > 0 and np.isfinite(result[~np.isnan(result)]).all()
    np.testing.assert_array_equal(depth, before)


@pytest.mark.parametrize('kind', KINDS)
def test_equal_seeds_give_equal_images_and_others_do_not(scenes, kind):
    rgb, depth = scenes[0]
    sensor = draw_depth_sensor(generator(2), kind=kind)
    one, same, other = (apply_depth(sensor, rgb, depth, rng=generator(seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, same)
    if kind not in ('simulator', 'as_recorded'):
        assert not np.array_equal(one, other, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2 ** 32 - 1), st.sampled_from(KINDS), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_tiny_images_with_and_without_depth_are_safe(seed, kind, height, width, is_empty):
    rng = generator(seed)
    depth = np.full((height, width), np.nan, np.float32) if is_empty else rng.uniform(
        0.01, 12, (height, width)).astype(np.float32)
    rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    result = apply_depth(draw_depth_sensor(rng, kind=kind), rgb, depth, rng=rng)
    assert result.shape == depth.shape
    assert not is_empty or np.isnan(result).all()


def test_an_empty_image_is_safe():
    sensor = draw_depth_sensor(generator(), kind='active_stereo')
    assert apply_depth(sensor, GREY[:0], wall(1)[:0], rng=generator()).shape == (0, 160)


@pytest.mark.parametrize('kind', ['structured_light', 'active_stereo', 'time_of_flight', 'lidar_upsampled'])
def test_where_nothing_was_recorded_no_camera_measures(kind):
    depth = wall(2.0)
    depth[30:60, 40:80] = np.nan
    for seed in range(5):
        sensor = replace(draw_depth_sensor(generator(seed), kind=kind), registration=Registration())
        result = apply_depth(sensor, GREY, depth, rng=generator(seed))
        assert np.isnan(result[36:54, 48:72]).mean() > 0.95  # the outline is displaced by a few pixels


@pytest.mark.parametrize('kind', [kind for kind in KINDS if kind not in ('as_recorded', 'in_painted')])
@pytest.mark.parametrize('value', [np.inf, -np.inf, 0.0, -1.0])
def test_distances_that_are_none_are_holes(kind, value):
    depth = wall(2.0)
    depth[50:70, 70:90] = value
    # Without wrong matches, whose distances may be any.
    sensor = replace(draw_depth_sensor(generator(1), kind=kind), registration=Registration(), edges=Edges(),
                     losses=Losses())
    result = apply_depth(sensor, GREY, depth, rng=generator())
    assert np.isnan(result[51:69, 71:89]).all() and (result[np.isfinite(result)] < 3).all()


def test_a_camera_without_effects_and_one_as_recorded_change_nothing(scenes):
    rgb, depth = scenes[0]
    for sensor in (DepthSensor(), draw_depth_sensor(generator(), kind='as_recorded')):
        np.testing.assert_array_equal(apply_depth(sensor, rgb, depth, rng=generator()), depth)


def test_a_simulator_is_exact_up_to_its_far_plane(scenes):
    rgb, depth = scenes[0]
    for far in (4.0, np.nan):
        result = apply_depth(DepthSensor('simulator', max_m=4.0, far_m=far), rgb, depth, rng=generator())
        np.testing.assert_array_equal(result[depth <= 4], depth[depth <= 4])
        np.testing.assert_array_equal(result[depth > 4], np.float32(far))
    sensor = draw_depth_sensor(generator(1), kind='simulator')
    assert sensor.noise == DepthNoise() and sensor.losses == Losses() and sensor.edges == Edges()


def test_holes_of_one_camera_fall_alike_and_of_another_elsewhere(scenes):
    def shares(sensor):
        return [np.isnan(apply_depth(sensor, rgb, depth, rng=generator(seed))).mean()
                for seed, (rgb, depth) in enumerate(scenes * 3)]
    cameras = [shares(draw_depth_sensor(generator(seed), kind=kind)) for seed in range(8)
               for kind in ('active_stereo', 'time_of_flight', 'structured_light')]
    within = np.mean([np.var(camera) for camera in cameras])
    assert np.var([np.mean(camera) for camera in cameras]) > 2 * within


def test_shares_of_holes_are_wide(scenes):
    rgb, depth = scenes[0]
    shares = [np.isnan(apply_depth(draw_depth_sensor(generator(seed), kind='active_stereo'), rgb, depth,
                                   rng=generator(seed))).mean() for seed in range(60)]
    assert min(shares) < 0.08 and max(shares) > 0.3


def test_the_shadow_of_a_near_object_is_on_its_left_and_as_wide_as_the_disparities_differ():
    sensor = DepthSensor(triangulation=Triangulation(focal_baseline=43.0, shadow=True))
    hole = np.isnan(apply_depth(sensor, GREY, box_before_wall(), rng=generator()))
    expected = 43 * (1 - 1 / 3) * 160 / 640
    assert hole[60].sum() == pytest.approx(expected, abs=2)
    assert hole[60, 60 - int(expected) + 1:60].all() and not hole[60, 60:].any() and not hole[20].any()


def test_a_band_at_the_left_edge_is_as_wide_as_the_disparity():
    sensor = DepthSensor(triangulation=Triangulation(focal_baseline=33.0, left_band=True))
    for z in (0.5, 1.0, 2.0):
        hole = np.isnan(apply_depth(sensor, GREY, wall(z), rng=generator()))
        assert hole[5].sum() == pytest.approx(33 / z * 160 / 640, abs=1)
        assert hole[:, :int(33 / z / 4)].all() and not hole[:, int(33 / z / 4) + 2:].any()


def test_the_occlusion_band_is_on_the_side_of_the_colour_camera_and_may_be_doubled():
    for width, side in ((20.0, slice(50, 60)), (-20.0, slice(100, 110))):
        sensor = DepthSensor(registration=Registration(occlusion=width))
        hole = np.isnan(apply_depth(sensor, GREY, box_before_wall(), rng=generator()))
        assert hole[60].sum() == hole[60, side].sum() > 0
        doubled = replace(sensor, registration=Registration(occlusion=width, doubled=True))
        result = apply_depth(doubled, GREY, box_before_wall(), rng=generator())
        assert (result[60][hole[60]] == 1).all()


@pytest.mark.parametrize('losses, dark', [(Losses(reach_m=6.0), True), (Losses(shiny=1.5), False)])
def test_dark_and_saturated_surfaces_are_lost(losses, dark):
    rgb = GREY.copy()
    rgb[:, 80:] = 10 if dark else 255
    hole = np.isnan(apply_depth(DepthSensor(losses=losses), rgb, wall(2.5), rng=generator()))
    assert hole[:, 85:].mean() > 0.9 and hole[:, :75].mean() < 0.1


def test_plain_surfaces_are_lost_and_textured_ones_are_not():
    rgb = GREY.copy()
    rgb[:, 80:] = generator().integers(0, 256, (120, 80, 3))
    hole = np.isnan(apply_depth(DepthSensor(losses=Losses(plain=1.2)), rgb, wall(2.0), rng=generator()))
    assert hole[:, :70].mean() > 0.6 and hole[:, 90:].mean() < 0.02


def test_some_patches_without_a_match_get_a_wrong_distance():
    losses = Losses(reach_m=2.0)
    black = np.zeros_like(GREY)
    assert np.isnan(apply_depth(DepthSensor(losses=losses), black, wall(2.0), rng=generator())).mean() > 0.9
    result = apply_depth(DepthSensor(losses=replace(losses, mismatched=0.3)), black, wall(2.0), rng=generator())
    assert 0.15 < np.isfinite(result).mean() < 0.45 and 0.2 < np.nanstd(result) < 0.6


def test_a_white_frame_around_the_image_is_no_surface():
    rgb = GREY.copy()
    rgb[:2] = rgb[-2:] = rgb[:, :2] = rgb[:, -2:] = 255
    result = apply_depth(DepthSensor(losses=Losses(shiny=1.5)), rgb, wall(2.0), rng=generator())
    assert np.isnan(result).mean() < 0.01


def test_dark_surfaces_are_lost_nearer_than_bright_ones():
    sensor = DepthSensor(losses=Losses(reach_m=8.0))
    def share(value, z):
        return np.isnan(apply_depth(sensor, np.full_like(GREY, value), wall(z), rng=generator())).mean()
    assert share(250, 2) < 0.01 and share(40, 1) < 0.01 and share(40, 5) > 0.9 and share(250, 30) > 0.9


@pytest.mark.parametrize('grain_px', [0.0, 12.0])
def test_stereo_noise_grows_with_the_square_of_the_distance(grain_px):
    sensor = DepthSensor(noise=DepthNoise(quadratic=0.004, grain_px=grain_px))
    sigmas = [np.std(np.concatenate([apply_depth(sensor, GREY, wall(z), rng=generator(seed)).ravel() - np.float32(z)
                                     for seed in range(4)])) for z in (1, 2, 4)]
    # Grains are few: their scatter is known to a tenth.
    assert sigmas == pytest.approx([0.004, 0.016, 0.064], rel=0.15)


def test_structured_light_comes_in_steps_of_disparity_of_its_own_columns():
    sensor = DepthSensor(triangulation=Triangulation(focal_baseline=43.0, step_px=0.125))
    result = apply_depth(sensor, GREY, slope(1, 4), rng=generator())
    disparity = 43.0 / result
    np.testing.assert_allclose(disparity / 0.125, np.round(disparity / 0.125), atol=1e-3)
    assert len(np.unique(np.round(disparity / 0.125))) < 43 * (1 - 1 / 4) / 0.125 + 5


def test_the_range_is_limited_at_both_ends():
    ramp = slope(0.2, 8)
    hole = np.isnan(apply_depth(DepthSensor(min_m=0.5, max_m=4.0), GREY, ramp, rng=generator()))
    np.testing.assert_array_equal(hole, (ramp < 0.5) | (ramp > 4))


@pytest.mark.parametrize('outline, share', [('hexagon', 0.15), ('oval', 0.21), ('rounded', 0.01)])
def test_corners_outside_the_field_of_view_are_empty_and_the_middle_is_not(outline, share):
    sensor = DepthSensor(field_of_view=FieldOfView(outline))
    hole = np.isnan(apply_depth(sensor, GREY, wall(2.0), rng=generator()))
    assert hole[[0, 0, -1, -1], [0, -1, 0, -1]].all() and not hole[30:90, 40:120].any()
    assert hole.mean() > share
    np.testing.assert_array_equal(hole, hole[::-1, ::-1])


def test_margins_without_depth_are_where_they_are_said_to_be():
    sensor = DepthSensor(registration=Registration(margins=(0.1, 0.05, 0.0, 0.2)))
    hole = np.isnan(apply_depth(sensor, GREY, wall(2.0), rng=generator()))
    expected = np.zeros_like(hole)
    expected[:, :16] = expected[:6] = expected[96:] = True
    np.testing.assert_array_equal(hole, expected)


def test_flying_pixels_lie_between_the_surfaces_at_edges_only():
    result = apply_depth(DepthSensor(edges=Edges(flying=0.8)), GREY, box_before_wall(), rng=generator())
    between = (result > 1) & (result < 3)
    assert between.any() and not between[:38].any() and not between[45:75, 65:95].any()


def test_edges_of_near_objects_are_fattened():
    result = apply_depth(DepthSensor(edges=Edges(fattening_px=8.0)), GREY, box_before_wall(), rng=generator())
    assert (result[60] == 1).sum() == 40 + 2 * 2


def test_lidar_is_smooth_with_soft_edges():
    result = apply_depth(DepthSensor(edges=Edges(cells=40)), GREY, box_before_wall(), rng=generator())
    assert np.abs(np.diff(result[60])).max() < 1.1 and not np.isnan(result).any()


def test_corners_bow_to_longer_distances():
    corner = 4 - np.abs(slope(-2, 2))
    result = apply_depth(DepthSensor(multipath=0.5), GREY, corner, rng=generator())
    assert (result >= corner).all() and (result - corner)[60, 80] > 2 * (result - corner)[60, 45]


def test_a_constant_offset_moves_every_image_alike():
    sensor = DepthSensor(registration=Registration(offset_px=(8.0, 4.0)))
    result = apply_depth(sensor, GREY, box_before_wall(), rng=generator())
    near = np.argwhere(result == 1)
    np.testing.assert_array_equal(near.min(0), (41, 62))


def test_an_error_of_parallax_moves_near_surfaces_more():
    sensor = DepthSensor(registration=Registration(parallax=12.0))
    result = apply_depth(sensor, GREY, box_before_wall(), rng=generator())
    assert np.argwhere(result == 1)[:, 1].max() == 102


@pytest.mark.parametrize('seed', range(5))
def test_in_painted_depth_has_no_holes_and_stays_within_the_scene(scenes, seed):
    rgb, depth = scenes[seed % 3]
    result = apply_depth(draw_depth_sensor(generator(seed), kind='in_painted'), rgb, depth, rng=generator(seed))
    assert not np.isnan(result).any() and result.min() > 0 and result.max() < 2 * depth.max()


def test_a_comb_of_39_mm_is_smoothed_and_edges_stay():
    y, x = np.mgrid[:120, :160].astype(np.float32)
    true = 1 + x / 100 + y / 60
    true[40:80, 60:100] = 0.8
    smooth = without_comb(np.round(true / np.float32(0.039)) * np.float32(0.039), generator())
    error = np.abs(smooth - true)
    inner = np.ones_like(true, bool)
    inner[34:86, 54:106] = inner[:6] = inner[-6:] = inner[:, :6] = inner[:, -6:] = False
    assert error[inner].mean() < 0.006  # the comb itself is off by 0.01 on average
    assert len(np.unique(np.round(smooth, 3))) > 500
    assert abs(smooth[60, 80] - 0.8) < 0.02 and error.max() < 0.0435  # 1.1 steps


def test_fine_depth_is_not_smoothed(scenes):
    depth = scenes[0][1]
    np.testing.assert_array_equal(without_comb(depth, generator()), depth)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='sonar'):
        draw_depth_sensor(generator(), kind='sonar')
    with pytest.raises(ConfigError, match='min_m'):
        DepthSensor(min_m=3.0, max_m=2.0)
