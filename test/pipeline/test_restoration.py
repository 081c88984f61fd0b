"""Repairs of single images, and the segmenter's use of them for images of low reliability."""
import numpy as np
import pytest
import torch

from rsgmamba_ros.data.corruptions import corrupt
from rsgmamba_ros.data.synthetic.dataset import SyntheticDataset
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.pipeline import restoration
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.pipeline.segmenter_config import SegmenterConfig
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence, StampedImage

RGB, DEPTH = Modality.RGB, Modality.DEPTH


@pytest.fixture(scope='module')
def sample(tmp_path_factory):
    return SyntheticDataset(DEPTH, first_seed=1_000_000, rooms=1, cache=tmp_path_factory.mktemp('rooms'))[0]


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.nanmean(np.abs(first.astype(np.float32) - second.astype(np.float32))))


@pytest.mark.parametrize('repair, family', [('outliers', 'impulse'), ('noise', 'gaussian'), ('tones', 'contrast')])
def test_each_repair_brings_rgb_nearer_to_the_clean_image(sample, repair, family):
    corrupted, _ = corrupt(sample.rgb, family, 3, rng=np.random.default_rng(0))
    repaired = restoration.REPAIRS[RGB][repair](corrupted)
    assert repaired.dtype == np.uint8 and repaired.shape == sample.rgb.shape
    if repair == 'tones':
        assert repaired.std() > 2 * corrupted.std()
    else:
        assert distance(repaired, sample.rgb) < distance(corrupted, sample.rgb)


def test_holes_of_depth_get_the_nearest_measurement_but_not_what_is_out_of_range(sample):
    corrupted, _ = corrupt(sample.auxiliary, 'holes', 3, rng=np.random.default_rng(0))
    repaired = restoration.fill_holes(corrupted)
    measured = ~np.isnan(corrupted)
    assert np.isnan(repaired).mean() < 0.2 * np.isnan(corrupted).mean()
    assert np.array_equal(repaired[measured], corrupted[measured])
    near = sample.auxiliary.copy()
    near[:, :160] = np.nan
    assert np.isnan(restoration.fill_holes(near)[:, :100]).all()
    assert not np.isnan(restoration.fill_holes(near)[:, 150:]).any()
    nothing = np.full((4, 5), np.nan, np.float32)
    assert np.isnan(restoration.fill_holes(nothing)).all() and np.isnan(restoration.smooth_depth(nothing)).all()


def test_noise_of_depth_is_less_and_holes_stay(sample):
    corrupted, _ = corrupt(sample.auxiliary, 'axial_noise', 3, rng=np.random.default_rng(0))
    repaired = restoration.smooth_depth(corrupted)
    assert np.array_equal(np.isnan(repaired), np.isnan(corrupted))
    assert distance(repaired, sample.auxiliary) < distance(corrupted, sample.auxiliary)


@pytest.mark.parametrize('pixels', [np.zeros((6, 8, 3), np.uint8), np.full((6, 8, 3), 255, np.uint8)])
def test_an_image_of_one_colour_can_be_stretched(pixels):
    assert restoration.stretch_tones(pixels).shape == pixels.shape


def test_holes_are_filled_up_to_a_tenth_of_the_height():
    metres = np.ones((100, 60), np.float32)
    metres[:, 20:] = np.nan
    assert np.flatnonzero(~np.isnan(restoration.fill_holes(metres)[50])).max() == 29


def test_a_dim_image_gets_a_middle_brightness():
    rgb = np.full((64, 64, 3), 60, np.uint8)
    rgb[:, :4], rgb[:, -4:] = 0, 255
    assert restoration.stretch_tones(rgb)[32, 32, 0] / 255 == pytest.approx(restoration.MIDDLE_BRIGHTNESS, abs=0.05)


@pytest.mark.parametrize('usual, gamma', [(3, 0.4), (250, 2.5)])
def test_tones_are_not_bent_further_than_an_image_can_stand(usual, gamma):
    rgb = np.full((64, 64, 3), usual, np.uint8)
    rgb[:, 0], rgb[:, 4], rgb[:, 1] = 0, 255, 100
    expected = 255 * (np.array([usual, 100]) / 255) ** gamma
    np.testing.assert_allclose(restoration.stretch_tones(rgb)[32, [2, 1], 0], expected, atol=1.01)


@pytest.mark.parametrize('reliability, expected', [(0.49, (RGB,)), (0.5, ()), (0.9, ())])
def test_an_image_is_repaired_below_a_reliability_of_a_half(reliability, expected):
    images = {RGB: np.zeros((4, 4, 3), np.uint8), DEPTH: np.ones((4, 4), np.float32)}
    assert restoration.unreliable(prediction(0.5, reliability), images) == expected


def test_what_did_not_come_or_has_no_repair_is_not_repaired():
    lost = restoration.Prediction(torch.zeros(2, 2, 2), {RGB: 0.0, Modality.THERMAL: 0.1})
    assert restoration.unreliable(lost, {Modality.THERMAL: np.ones((4, 4), np.float32)}) == ()


def prediction(probability: float, reliability: float) -> restoration.Prediction:
    """Of two classes and 2x2 pixels; the depth image is reliable."""
    probabilities = torch.tensor([probability, 1 - probability]).clamp(min=1e-9)
    return restoration.Prediction(probabilities.log()[:, None, None].expand(2, 2, 2), {RGB: reliability, DEPTH: 0.9})


def test_predictions_are_weighted_by_the_square_of_the_reliability_of_what_was_repaired():
    images = {RGB: np.full((4, 4, 3), 100, np.uint8), DEPTH: np.ones((4, 4), np.float32)}
    predicted = iter([(1.0, 0.45), (0.0, 0.0), (0.0, 0.0)])
    mean, chosen = restoration.restore(images, prediction(0.0, 0.3), lambda given: prediction(*next(predicted)))
    assert chosen == {RGB: 'outliers'}
    torch.testing.assert_close(mean.logits.exp()[0], torch.full((2, 2), 0.45 ** 2 / (0.45 ** 2 + 0.3 ** 2)))
    assert mean.reliability[RGB] == 0.45


def test_without_any_reliability_the_image_counts_as_it_came():
    images = {RGB: np.full((4, 4, 3), 100, np.uint8)}
    original = prediction(1.0, 0.0)
    mean, chosen = restoration.restore(images, original, lambda given: prediction(0.0, 0.0))
    assert not chosen and mean is original


def test_the_next_modality_is_repaired_beside_the_best_image_of_the_first():
    images = {RGB: np.full((4, 4, 3), 100, np.uint8), DEPTH: np.ones((4, 4), np.float32)}
    seen = []

    def predict(given):
        seen.append(given)
        better = given[RGB] is not images[RGB] and len(seen) == 3
        return restoration.Prediction(torch.zeros(2, 2, 2), {RGB: 0.4 if better else 0.1, DEPTH: 0.2})
    _, chosen = restoration.restore(images, predict(images), predict)
    assert len(seen) == 6 and chosen == {RGB: 'noise'}
    assert all(given[RGB] is seen[2][RGB] for given in seen[4:])


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


def test_a_corrupted_image_is_repaired_and_its_reliability_stays_that_of_the_image_as_it_came(sample, segmenters):
    corrupted, _ = corrupt(sample.rgb, 'impulse', 5, rng=np.random.default_rng(0))
    plain, restored = (segment(segmenter, corrupted, sample.auxiliary) for segmenter in segmenters)
    before, after = plain.reliability[RGB], restored.reliability[RGB]
    assert before.learned == after.learned < restoration.UNRELIABLE
    assert [cause for cause in after.causes if cause not in before.causes] == ['restored_outliers']
    labels = sample.label_map
    assert (restored.label_map == labels).mean() > (plain.label_map == labels).mean()


def test_the_network_sees_the_images_as_they_came_and_each_repair_once(sample, segmenters, monkeypatch):
    restored = segmenters[1]
    runs = []
    run = restored.engine.run

    def counted(*arguments):
        runs.append(arguments)
        return run(*arguments)
    monkeypatch.setattr(restored.engine, 'run', counted)
    segment(restored, sample.rgb, sample.auxiliary)
    assert len(runs) == 1
    runs.clear()
    rgb, _ = corrupt(sample.rgb, 'impulse', 5, rng=np.random.default_rng(0))
    depth, _ = corrupt(sample.auxiliary, 'axial_noise', 5, rng=np.random.default_rng(0))
    result = segment(restored, rgb, depth)
    assert all(result.reliability[modality].learned < restoration.UNRELIABLE for modality in (RGB, DEPTH))
    assert len(runs) == 1 + len(restoration.REPAIRS[RGB]) + len(restoration.REPAIRS[DEPTH]) == 6
