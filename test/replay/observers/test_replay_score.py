import numpy as np
import pytest

from rsgmamba_ros.data.synthetic import SYNTHETIC_LABELS
from rsgmamba_ros.evaluation.metrics import ConfusionMatrix
from rsgmamba_ros.replay.observers.score import ReplayScore
from rsgmamba_ros.replay.offline import ReplayedBundle
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.segmentation import Segmentation

K, IGNORED = len(SYNTHETIC_LABELS), SYNTHETIC_LABELS.ignore_index


def result(predicted, truth):
    segmentation = Segmentation(stamp_ns=0, frame_id='', leader=Modality.RGB, label_map=predicted,
                                confidence=predicted, reliability={}, reports=())
    return ReplayedBundle(0, 0.0, None, segmentation, label_map=truth)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int32])
@pytest.mark.parametrize('size', [(1, 1), (7, 5), (48, 64)])
def test_counts_are_those_of_the_confusion_matrix(size, dtype):
    rng = np.random.default_rng(0)
    truth = rng.choice([*range(K), IGNORED], size).repeat(3, axis=1).astype(dtype)  # runs and single pixels
    predicted = rng.integers(0, K, truth.shape, np.uint8)
    predicted[::2] = np.minimum(truth, K - 1)[::2]
    reference = ConfusionMatrix(K, ignore_index=IGNORED)
    reference.add(truth, predicted)
    score = ReplayScore(SYNTHETIC_LABELS)
    score.replayed(result(predicted, truth))
    np.testing.assert_array_equal(score.confusion.counts, reference.counts)
    assert score.unlabelled == {}


def test_values_that_are_no_class_are_counted_and_ignored():
    truth = np.full((4, 4), K + 3, np.uint8)
    truth[0] = 1
    score = ReplayScore(SYNTHETIC_LABELS)
    score.replayed(result(np.ones((4, 4), np.uint8), truth))
    assert score.confusion.counts.sum() == score.confusion.counts[1, 1] == 4
    assert sum(score.unlabelled.values()) == 1


def test_pixels_that_the_node_left_unlabelled_count_as_wrong():
    truth = np.repeat(np.arange(K, dtype=np.uint8), 8).reshape(K, 8)
    predicted = truth.copy()
    predicted[:, :2] = IGNORED
    score = ReplayScore(SYNTHETIC_LABELS)
    score.replayed(result(predicted, truth))
    assert score.confusion.counts.sum() == truth.size
    assert score.confusion.pixel_accuracy() == 0.75
