import numpy as np
import pytest

from rsgmamba_ros.evaluation.metrics import (
    auroc,
    ConfidenceCounts,
    ConfusionMatrix,
    expected_calibration_error,
    spearman,
)


@pytest.mark.parametrize('seed', range(5))
def test_confusion_matrix_iou_and_accuracies_are_those_of_scikit_learn(seed):
    metrics = pytest.importorskip('sklearn.metrics')
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 12))
    truth, guess = rng.integers(0, classes, (2, 3, 20, 30), dtype=np.uint8)
    truth[rng.random(truth.shape) < 0.1] = 255
    score = ConfusionMatrix(classes, ignore_index=255)
    for one_truth, one_guess in zip(truth, guess):
        score.add(one_truth, one_guess)
    valid = truth != 255
    expected = (truth[valid], guess[valid])
    np.testing.assert_array_equal(score.counts, metrics.confusion_matrix(*expected, labels=range(classes)))
    iou = metrics.jaccard_score(*expected, labels=range(classes), average=None)
    np.testing.assert_allclose(score.iou(), iou)
    assert score.miou() == pytest.approx(iou.mean())
    assert score.pixel_accuracy() == pytest.approx(metrics.accuracy_score(*expected))
    assert score.class_accuracy() == pytest.approx(metrics.balanced_accuracy_score(*expected))


@pytest.mark.parametrize('seed', range(5))
def test_auroc_is_that_of_scikit_learn_with_ties(seed):
    metrics = pytest.importorskip('sklearn.metrics')
    rng = np.random.default_rng(seed)
    positive, negative = rng.integers(2, 12, 40), rng.integers(0, 10, 70)
    truth = np.r_[np.ones(40), np.zeros(70)]
    assert auroc(positive, negative) == pytest.approx(metrics.roc_auc_score(truth, np.r_[positive, negative]))


@pytest.mark.parametrize('seed', range(5))
def test_spearman_is_that_of_scipy_with_ties(seed):
    stats = pytest.importorskip('scipy.stats')
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 6, 80)
    second = first + rng.normal(0, 2, 80).round()
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)


def test_a_class_that_never_occurs_does_not_count():
    score = ConfusionMatrix(3, ignore_index=255)
    score.add(np.array([[0, 0, 1, 255]]), np.array([[0, 1, 1, 2]]))
    assert np.isnan(score.iou()[2]) and score.miou() == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_a_value_that_is_no_class_is_an_error():
    with pytest.raises(ValueError, match='holds class 7'):
        ConfusionMatrix(3, ignore_index=255).add(np.full((2, 2), 7), np.zeros((2, 2), int))


def test_figures_of_nothing_are_nan():
    assert np.isnan([auroc([], [1]), spearman([1, 1], [1, 2]), ConfusionMatrix(2, ignore_index=0).miou(),
                     expected_calibration_error([], [])]).all()


def test_calibration_error_is_the_mean_gap_of_the_bins():
    confidence = np.array([0.95] * 10 + [0.55] * 30)
    correct = np.array([1] * 5 + [0] * 5 + [1] * 30)
    # Bins: ten at .95 with half right (gap .45), thirty at .55 with all right (gap .45).
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.45)


def test_a_weight_counts_as_often_as_it_says():
    stated, observed, weights = np.array([0.2, 0.7, 0.72]), np.array([0.0, 1.0, 0.5]), np.array([1, 3, 2])
    repeated = expected_calibration_error(np.repeat(stated, weights), np.repeat(observed, weights))
    assert expected_calibration_error(stated, observed, weights=weights) == pytest.approx(repeated)


def test_confidence_counts_leave_out_pixels_without_a_label():
    counts = ConfidenceCounts(ignore_index=255)
    assert np.isnan(counts.calibration_error())
    label_map = np.array([[0, 0, 1, 255]], np.uint8)
    counts.add(label_map, np.array([[0, 1, 1, 0]], np.uint8), np.array([[255, 255, 0, 255]], np.uint8))
    assert counts.counts.sum() == 3
    # Certain and right, certain and wrong, certain of nothing and right; the first two share a bin.
    assert counts.calibration_error() == pytest.approx((abs(2 - 1) + 1) / 3)
