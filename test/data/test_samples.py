from dataclasses import replace

import numpy as np
import pytest

from rsgmamba_ros.data.samples import AugmentationConfig, draw_window, Sample, vary, Window
from rsgmamba_ros.vocabulary.errors import ConfigError


def sample() -> Sample:
    """RGB, depth and labels that all show the same two halves."""
    label_map = np.zeros((40, 60), np.uint8)
    label_map[:, 35:] = 1
    rgb = np.repeat(label_map[..., None] * 200, 3, axis=2).astype(np.uint8)
    depth = np.where(label_map, 1.0, 3.0).astype(np.float32)
    return Sample(rgb, depth, label_map, earlier=Sample(rgb, depth, label_map))


@pytest.mark.parametrize('seed', range(6))
def test_images_and_labels_vary_together(seed):
    config = AugmentationConfig(min_scale=0.5, max_scale=2.0, flip=0.5, colour=0.1)
    varied = vary(sample(), config, rng=np.random.default_rng(seed))
    assert varied.rgb.shape[:2] == varied.auxiliary.shape == varied.label_map.shape
    for item in (varied, varied.earlier):
        assert ((item.auxiliary < 2) == (varied.label_map == 1)).all()
        # RGB is smoothed over the edge.
        assert ((item.rgb[..., 0] > 80) == (varied.label_map == 1)).mean() > 0.95


def test_without_variation_the_sample_stays_as_it_is():
    config = AugmentationConfig(min_scale=1, max_scale=1, flip=0, colour=0)
    varied = vary(sample(), config, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(varied.rgb, sample().rgb)
    np.testing.assert_array_equal(varied.auxiliary, sample().auxiliary)


def test_a_window_beyond_the_image_is_blank_there():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    cut = Window(-1, 2, 5, 4).cut(image, blank=np.nan)
    expected = np.full((5, 4), np.nan, np.float32)
    expected[1:4, :2] = image[:, 2:]
    np.testing.assert_array_equal(cut, expected)


@pytest.mark.parametrize('height, width', [(8, 16), (64, 16), (64, 128), (40, 60)])
def test_a_drawn_window_lies_in_the_image_or_holds_it(height, width):
    for seed in range(20):
        window = draw_window((40, 60), height, width, rng=np.random.default_rng(seed))
        shown = window.cut(np.ones((40, 60), np.uint8), blank=0).sum()
        assert shown == min(height, 40) * min(width, 60)


def test_scales_that_make_no_range_are_refused():
    with pytest.raises(ConfigError, match='min_scale'):
        replace(AugmentationConfig(), min_scale=2.0, max_scale=1.0)


def test_a_camera_that_comes_closer_sees_a_part_enlarged_at_shorter_distances():
    config = AugmentationConfig(min_scale=1, max_scale=1, flip=0, colour=0, approach=3)
    varied = [vary(sample(), config, rng=np.random.default_rng(seed)) for seed in range(20)]
    nearest = [float(item.auxiliary.max()) for item in varied]
    assert sum(distance == 3 for distance in nearest) > 3 and min(nearest) < 2
    for item in varied:
        assert item.rgb.shape[:2] == item.auxiliary.shape == item.label_map.shape == (40, 60)
        wall, step = (np.unique(item.auxiliary[item.label_map == label]) for label in (0, 1))
        assert len(wall) <= 1 and len(step) <= 1  # one distance each: all fell by one factor
        if len(wall) and len(step):
            assert wall[0] == pytest.approx(3 * step[0])


def test_a_camera_does_not_move_away():
    with pytest.raises(ConfigError, match='approach'):
        AugmentationConfig(approach=0.5)
