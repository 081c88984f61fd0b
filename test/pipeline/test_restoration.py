"""What mends an image, and that the segmenter does so where the reliability says that it helps."""
import numpy as np
import pytest
import torch

from rsgmamba_ros.data.corruptions import corrupt
from rsgmamba_ros.data.synthetic.dataset import SyntheticDataset
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.pipeline import restoration
from rsgmamba_ros.pipeline.segmenter import Segmenter, SegmenterConfig
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage

RGB, DEPTH = Modality.RGB, Modality.DEPTH


@pytest.fixture(scope='module')
def sample(tmp_path_factory):
    return SyntheticDataset(DEPTH, first_seed=1_000_000, rooms=1, cache=tmp_path_factory.mktemp('rooms'))[0]


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.nanmean(np.abs(first.astype(np.float32) - second.astype(np.float32))))


@pytest.mark.parametrize('means, family', [('outliers', 'impulse'), ('noise', 'gaussian'), ('tones', 'contrast')])
def test_the_means_brings_rgb_nearer_to_the_clean_image(sample, means, family):
    spoilt, _ = corrupt(sample.rgb, family, 3, rng=np.random.default_rng(0))
    mended = restoration.MEANS[RGB][means](spoilt)
    assert mended.dtype == np.uint8 and mended.shape == sample.rgb.shape
    if means == 'tones':
        assert mended.std() > 2 * spoilt.std()
    else:
        assert distance(mended, sample.rgb) < distance(spoilt, sample.rgb)


def test_holes_of_depth_get_the_nearest_measurement_but_not_what_is_out_of_range(sample):
    spoilt, _ = corrupt(sample.auxiliary, 'holes', 3, rng=np.random.default_rng(0))
    mended = restoration.fill_holes(spoilt)
    measured = ~np.isnan(spoilt)
    assert np.isnan(mended).mean() < 0.2 * np.isnan(spoilt).mean()
    assert np.array_equal(mended[measured], spoilt[measured])
    near = sample.auxiliary.copy()
    near[:, :160] = np.nan
    assert np.isnan(restoration.fill_holes(near)[:, :100]).all()
    assert not np.isnan(restoration.fill_holes(near)[:, 150:]).any()
    nothing = np.full((4, 5), np.nan, np.float32)
    assert np.isnan(restoration.fill_holes(nothing)).all() and np.isnan(restoration.smooth_depth(nothing)).all()


def test_noise_of_depth_is_less_and_holes_stay(sample):
    spoilt, _ = corrupt(sample.auxiliary, 'axial_noise', 3, rng=np.random.default_rng(0))
    mended = restoration.smooth_depth(spoilt)
    assert np.array_equal(np.isnan(mended), np.isnan(spoilt))
    assert distance(mended, sample.auxiliary) < distance(spoilt, sample.auxiliary)


@pytest.mark.parametrize('pixels', [np.zeros((6, 8, 3), np.uint8), np.full((6, 8, 3), 255, np.uint8)])
def test_an_image_of_one_colour_can_be_stretched(pixels):
    assert restoration.stretch_tones(pixels).shape == pixels.shape


def test_answers_are_weighed_by_the_square_of_the_reliability_of_what_was_mended():
    images = {RGB: np.full((4, 4, 3), 100, np.uint8), DEPTH: np.ones((4, 4), np.float32)}
    said = iter([(0.0, 0.3), (1.0, 0.6), (0.0, 0.0), (0.0, 0.0)])

    def ask(given):
        probability, reliability = next(said)
        return restoration.Answer(torch.full((1, 2, 2), probability), np.array([reliability, 0.9]))

    answer, chosen = restoration.restore(images, {RGB: 0}, ask)
    assert chosen == {RGB: 'outliers'}
    torch.testing.assert_close(answer.probabilities, torch.full((1, 2, 2), 0.6 ** 2 / (0.6 ** 2 + 0.3 ** 2)))
    assert answer.reliability[0] == 0.6


def test_where_nothing_is_trusted_at_all_the_image_counts_as_it_came():
    images = {RGB: np.full((4, 4, 3), 100, np.uint8)}
    said = iter([1.0, 0.0, 0.0, 0.0])
    answer, chosen = restoration.restore(
        images, {RGB: 0}, lambda given: restoration.Answer(torch.full((1, 2, 2), next(said)), np.zeros(2)))
    assert not chosen and answer.probabilities.unique() == 1


def bundle(rgb: np.ndarray, depth: np.ndarray) -> ImageBundle:
    images = {RGB: StampedImage(RGB, 1, 1, rgb, 'rgb8'), DEPTH: StampedImage(DEPTH, 1, 1, depth, '32FC1')}
    return ImageBundle(RGB, {m: BundleSlot(Presence.PRESENT, image, 0.0, 0.0) for m, image in images.items()}, 1)


@pytest.fixture(scope='module')
def segmenters():
    path = checkpoint_path('nano_synthetic_depth', DEPTH)
    return [Segmenter(path, device='cpu', config=SegmenterConfig(restore=restore)) for restore in (False, True)]


def segment(segmenter: Segmenter, rgb: np.ndarray, depth: np.ndarray):
    segmenter.reset()
    return segmenter.segment(bundle(rgb, depth))


def test_a_sound_bundle_is_left_as_it_is(sample, segmenters):
    plain, restored = (segment(segmenter, sample.rgb, sample.auxiliary) for segmenter in segmenters)
    assert np.array_equal(plain.label_map, restored.label_map)
    assert plain.reliability == restored.reliability


def test_a_spoilt_image_is_mended_and_its_reliability_stays_that_of_the_image_as_it_came(sample, segmenters):
    spoilt, _ = corrupt(sample.rgb, 'impulse', 5, rng=np.random.default_rng(0))
    plain, restored = (segment(segmenter, spoilt, sample.auxiliary) for segmenter in segmenters)
    before, after = plain.reliability[RGB], restored.reliability[RGB]
    assert before.learned == after.learned < restoration.DISTRUSTED
    assert [cause for cause in after.causes if cause not in before.causes] == ['restored_outliers']
    labels = sample.label_map
    assert (restored.label_map == labels).mean() > (plain.label_map == labels).mean()
