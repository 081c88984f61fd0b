"""Figures of merit, in plain NumPy: segmentation from a confusion matrix, reliability from scores."""
from __future__ import annotations

import numpy as np

#: Values of a published confidence, 0..255 for 0..1.
CONFIDENCE_LEVELS = 256


class ConfusionMatrix:
    """Counts of (true class, predicted class) over the labelled pixels of many images.

    Attributes:
        counts: (K, K) int64, rows are the true classes.
    """

    def __init__(self, classes: int, *, ignore_index: int):
        self.classes = classes
        self.ignore_index = ignore_index
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, label_map: np.ndarray, predicted: np.ndarray) -> None:
        """Count one image; both (H, W), integers below K, the true one may hold the ignore index.

        Raises:
            ValueError: sizes differ, or a value is no class.
        """
        if label_map.shape != predicted.shape:
            raise ValueError(f'label map is {label_map.shape}, prediction {predicted.shape}')
        valid = label_map != self.ignore_index
        true, guess = label_map[valid].astype(np.int64), predicted[valid].astype(np.int64)
        for name, values in (('label map', true), ('prediction', guess)):
            if values.size and values.max() >= self.classes:
                raise ValueError(f'{name} holds class {values.max()}; there are {self.classes} classes')
        pairs = np.bincount(true * self.classes + guess, minlength=self.classes ** 2)
        self.counts += pairs.reshape(self.classes, self.classes)

    def iou(self) -> np.ndarray:
        """Intersection over union of each class, (K,) float; NaN for a class in neither labels nor predictions."""
        hits = np.diag(self.counts).astype(float)
        union = self.counts.sum(0) + self.counts.sum(1) - hits
        iou = np.full(self.classes, np.nan)
        np.divide(hits, union, out=iou, where=union > 0)
        return iou

    def miou(self) -> float:
        """Mean IoU over the classes that occur in the labels; NaN if none does."""
        present = self.counts.sum(1) > 0
        return float(self.iou()[present].mean()) if present.any() else float('nan')

    def pixel_accuracy(self) -> float:
        """Share of labelled pixels with the right class; NaN without labelled pixels."""
        total = self.counts.sum()
        return float(np.trace(self.counts) / total) if total else float('nan')

    def class_accuracy(self) -> float:
        """Mean over the occurring classes of the share of their pixels that was found."""
        truth = self.counts.sum(1)
        present = truth > 0
        return float((np.diag(self.counts)[present] / truth[present]).mean()) if present.any() else float('nan')


class ConfidenceCounts:
    """Counts of right and wrong labels at each published confidence, over the labelled pixels of many images.

    Attributes:
        counts: (2, 256) int64: wrong and right labels by confidence 0..255.
    """

    def __init__(self, *, ignore_index: int):
        self.ignore_index = ignore_index
        self.counts = np.zeros((2, CONFIDENCE_LEVELS), np.int64)

    def add(self, label_map: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> None:
        """Count one image; all (H, W), `confidence` uint8, the true label may be the ignore index."""
        valid = label_map != self.ignore_index
        correct = (predicted[valid] == label_map[valid]).astype(np.int64)
        cells = np.bincount(correct * CONFIDENCE_LEVELS + confidence[valid], minlength=self.counts.size)
        self.counts += cells.reshape(self.counts.shape)

    def calibration_error(self) -> float:
        """Expected calibration error of the confidence as the probability of a right label; NaN without pixels."""
        wrong, right = self.counts
        levels = np.linspace(0, 1, CONFIDENCE_LEVELS)
        return expected_calibration_error(np.r_[levels, levels], np.repeat([0.0, 1.0], CONFIDENCE_LEVELS),
                                          weights=np.r_[wrong, right])


def count_unlabelled_as_wrong(predicted: np.ndarray, label_map: np.ndarray, classes: int) -> np.ndarray:
    """Give every pixel that was left unlabelled a class that is wrong, so that it lowers the score.

    Args:
        predicted: (...) integers; K or more where the pixel was left unlabelled.
        label_map: true classes, (...) integers; the ignore index is allowed.
        classes: K.

    Returns:
        Predictions below K, (...) int64.
    """
    wrong = (label_map.astype(np.int64) + 1) % classes
    return np.where(predicted < classes, predicted.astype(np.int64), wrong)


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a positive's score is above a negative's, ties counting half; NaN if either is empty."""
    positive, negative = np.ravel(positive), np.ravel(negative)
    if not positive.size or not negative.size:
        return float('nan')
    ranks = average_ranks(np.concatenate([positive, negative]))
    excess = ranks[:positive.size].sum() - positive.size * (positive.size + 1) / 2
    return float(excess / (positive.size * negative.size))


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation in [-1, 1], ties by average rank; NaN if either is constant or has fewer than two values."""
    ranks = [average_ranks(np.ravel(values)) for values in (first, second)]
    centred = [values - values.mean() for values in ranks if values.size > 1]
    if len(centred) < 2 or not all(values.any() for values in centred):
        return float('nan')
    return float(centred[0] @ centred[1] / np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1])))


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing their mean rank; (N,) -> (N,) float."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse.reshape(-1)]


def expected_calibration_error(stated: np.ndarray, observed: np.ndarray, *, weights: np.ndarray | None = None,
                               bins: int = 15) -> float:
    """Mean gap between stated and observed values over bins of equal width, weighted by the bins' weights.

    Args:
        stated: probabilities, in [0, 1], any shape.
        observed: bool or 0..1, same shape.
        weights: at least 0, same shape; None for 1 each.

    Returns:
        In [0, 1]: sum over the bins of |sum of weight * (observed - stated)|, divided by the sum of all weights. NaN
        where that sum is 0.

    Source: Guo et al., arXiv 1706.04599, with 15 bins.
    """
    stated, observed = np.ravel(stated), np.ravel(observed).astype(float)
    weights = np.ones(stated.size) if weights is None else np.ravel(weights).astype(float)
    if not weights.sum():
        return float('nan')
    bin_index = np.clip(np.ceil(stated * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_index, weights=weights * (observed - stated), minlength=bins)
    return float(np.abs(gaps).sum() / weights.sum())
