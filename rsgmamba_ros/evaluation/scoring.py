"""Scores of a checkpoint under conditions, and the figures that sum them up.

Every image goes through the same `Segmenter` as in the node, so the reliability that is scored is the published one.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rsgmamba_ros.data.corruptions import FAMILIES
from rsgmamba_ros.data.folder_dataset import FolderDataset
from rsgmamba_ros.data.samples import bundle_of, Dataset, Sample
from rsgmamba_ros.evaluation.metrics import (
    auroc,
    ConfidenceCounts,
    ConfusionMatrix,
    expected_calibration_error,
    spearman,
)
from rsgmamba_ros.evaluation.protocols import Condition, LOSS_PROBABILITIES, TARGET_OF_SEVERITY
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.vocabulary.errors import DatasetError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import ThermalStretch
from rsgmamba_ros.vocabulary.segmentation import Segmentation

#: Families that are seen only against an earlier image of the same sensor: it is shown first.
SHOWN_EARLIER_FIRST = ('frozen', 'torn')

#: Wraps a loop over sample indices, to show how far it is.
Progress = Callable[[Iterable[int]], Iterable[int]]

#: Severity at which the detection of failures is quoted.
QUOTED_SEVERITY = 3


@dataclass(eq=False)
class Score:
    """What a checkpoint achieved under one condition.

    Attributes:
        confidence: right and wrong labels at each published confidence.
        reliability: published reliability, by modality, of every sample that the condition changed. It changes none
            where a range is cut off behind the farthest wall, or an earlier image equals this one.
    """

    condition: Condition
    confusion: ConfusionMatrix
    confidence: ConfidenceCounts
    reliability: dict[Modality, list[float]] = field(default_factory=dict)

    def mean_reliability(self, modality: Modality) -> float:
        """Mean over the samples; NaN without samples."""
        values = self.reliability.get(modality, [])
        return float(np.mean(values)) if values else float('nan')


def score_conditions(segmenter: Segmenter, dataset: Dataset, conditions: Sequence[Condition], *, indices: Sequence[int],
                     seed: int, progress: Progress = iter) -> list[Score]:
    """Score a checkpoint on samples under each condition.

    Args:
        indices: of the samples.
        seed: of the corruptions; equal seeds corrupt equal samples equally.
        progress: wraps the loop over the samples, to show it.

    Raises:
        DatasetError: the dataset's classes or auxiliary modality are not the checkpoint's.
    """
    check_fit(segmenter, dataset)
    use_stretch(segmenter, dataset)
    classes, ignore = len(segmenter.labels), dataset.labels.ignore_index
    # A network that looks at one modality gives nothing without it.
    conditions = [item for item in conditions if item.group != 'missing' or set(segmenter.seen) - set(item.hit)]
    scores = [Score(condition, ConfusionMatrix(classes, ignore_index=ignore), ConfidenceCounts(ignore_index=ignore))
              for condition in conditions]
    for index in progress(indices):
        sample = dataset[index]
        for score in scores:
            result = segment_sample(segmenter, sample, score.condition, seed=seed, index=index)
            score.confusion.add(sample.label_map, result.label_map)
            score.confidence.add(sample.label_map, result.label_map, result.confidence)
            if score.condition.changes(sample, segmenter.auxiliary, seed=seed, index=index):
                for modality, entry in result.reliability.items():
                    score.reliability.setdefault(modality, []).append(entry.reliability)
    return scores


def check_fit(segmenter: Segmenter, dataset: Dataset) -> None:
    """Check that a dataset can score a checkpoint.

    Raises:
        DatasetError: classes or auxiliary modality differ; the message names both.
    """
    if dataset.auxiliary is not segmenter.auxiliary:
        raise DatasetError(f'the dataset has {dataset.auxiliary} beside rgb, '
                           f'the checkpoint wants {segmenter.auxiliary}')
    if dataset.is_labelled and dataset.labels.names != segmenter.labels.names:
        raise DatasetError(f'the dataset has the classes {list(dataset.labels.names)}, '
                           f'the checkpoint {list(segmenter.labels.names)}')


def use_stretch(segmenter: Segmenter, dataset: Dataset) -> None:
    """Stretch thermal images by percentiles where the layout of the dataset asks for it: their unit is not known."""
    stretch = dataset.layout.thermal.stretch if isinstance(dataset, FolderDataset) else None
    segmenter.stretch_thermal(stretch if stretch is ThermalStretch.PERCENTILE else None)


def segment_sample(segmenter: Segmenter, sample: Sample, condition: Condition, *, seed: int,
                   index: int) -> Segmentation:
    """Segment one sample under a condition, at the size of its label map."""
    segmenter.reset()
    if condition.kind in SHOWN_EARLIER_FIRST and sample.earlier is not None:
        earlier = sample.earlier
        segmenter.segment(bundle_of({Modality.RGB: earlier.rgb, segmenter.auxiliary: earlier.auxiliary}, 0))
    values = condition.apply(sample, segmenter.auxiliary, seed=seed, index=index)
    return segmenter.segment(bundle_of(values, 1))


def summarise(scores: Sequence[Score], modalities: Sequence[Modality]) -> dict[str, Any]:
    """The figures of `summary.json` for the groups of conditions that were scored."""
    clean = next(score for score in scores if score.condition.group == 'clean')
    summary: dict[str, Any] = {
        'miou': clean.confusion.miou(), 'pixel_accuracy': clean.confusion.pixel_accuracy(),
        'class_accuracy': clean.confusion.class_accuracy(), 'per_class_iou': _numbers(clean.confusion.iou()),
        'confidence_ece': clean.confidence.calibration_error(),
        'clean_reliability': {str(m): clean.mean_reliability(m) for m in modalities},
    }
    groups = {group: [score for score in scores if score.condition.group == group]
              for group in ('missing', 'random_missing', 'noisy', 'corruptions')}
    if groups['missing']:
        summary |= _missing_figures(clean, groups['missing'])
    for group, key in (('random_missing', 'rmm'), ('noisy', 'nm')):
        if groups[group]:
            summary[key] = {score.condition.kind: score.confusion.miou() for score in groups[group]}
    if groups['corruptions']:
        summary |= _corruption_figures(clean, groups['corruptions'], modalities)
    return summary


def _missing_figures(clean: Score, missing: Sequence[Score]) -> dict[str, Any]:
    full = clean.confusion.miou()
    without = {str(score.condition.hit[0]): score.confusion.miou() for score in missing}
    lost = sum(without.values())
    # Both modalities lost at once gives no result; the expectation is over the other cases.
    expected = {str(p): ((1 - p) ** 2 * full + p * (1 - p) * lost) / (1 - p ** 2) for p in LOSS_PROBABILITIES}
    figures: dict[str, Any] = {'miou_without': without}
    return figures | {'emm_avg': (full + lost) / 3, 'emm_expected': expected} if len(without) == 2 else figures


def _corruption_figures(clean: Score, corrupted: Sequence[Score], modalities: Sequence[Modality]) -> dict[str, Any]:
    full = clean.confusion.miou()
    quoted = [score for score in corrupted if score.condition.severity == QUOTED_SEVERITY]
    by_hit: dict[str, list[float]] = {}
    for score in corrupted:
        by_hit.setdefault('+'.join(map(str, score.condition.hit)), []).append(score.confusion.miou())
    mean = float(np.mean([score.confusion.miou() for score in corrupted]))
    return {
        'corruption_mean': mean, 'retention': mean / full if full else float('nan'),
        f'corruption_mean_severity_{QUOTED_SEVERITY}': _mean([score.confusion.miou() for score in quoted]),
        'corruption_mean_by_modality': {name: _mean(values) for name, values in by_hit.items()},
        'auroc_seen': {str(m): _mean_auroc(clean, quoted, m, held_out=False) for m in modalities},
        'auroc_unseen': {str(m): _mean_auroc(clean, quoted, m, held_out=True) for m in modalities},
        'spearman': {str(m): _mean_spearman(clean, corrupted, m) for m in modalities},
        'reliability_ece': {str(m): reliability_calibration_error(clean, corrupted, m) for m in modalities},
    }


def reliability_calibration_error(clean: Score, corrupted: Sequence[Score], modality: Modality) -> float:
    """Expected calibration error of a modality's published reliability against the reliability it should have.

    That is `TARGET_OF_SEVERITY` for the images of a modality that was corrupted alone, at every severity and of every
    family, and 1 for its clean images. The corrupted images have half of the weight and the clean ones the other half.

    Returns:
        In [0, 1]; NaN without clean or without corrupted images.
    """
    published, targets = list(clean.reliability.get(modality, [])), [1.0] * len(clean.reliability.get(modality, []))
    count = len(published)
    for score in corrupted:
        if score.condition.hit == (modality,):
            published += score.reliability.get(modality, [])
            targets += [TARGET_OF_SEVERITY[score.condition.severity]] * len(score.reliability.get(modality, []))
    failed = len(published) - count
    if not count or not failed:
        return float('nan')
    weights = np.repeat([1 / count, 1 / failed], [count, failed])
    return expected_calibration_error(np.array(published), np.array(targets), weights=weights)


def family_auroc(clean: Score, score: Score, modality: Modality) -> float:
    """AUROC of 1 - reliability of the condition's images against clean images."""
    return auroc(-np.array(score.reliability[modality]), -np.array(clean.reliability[modality]))


def _mean_auroc(clean: Score, quoted: Sequence[Score], modality: Modality, *, held_out: bool) -> float:
    return _mean([family_auroc(clean, score, modality) for score in quoted
                  if score.condition.hit == (modality,) and FAMILIES[score.condition.kind].held_out == held_out])


def family_spearman(clean: Score, scores: Sequence[Score], modality: Modality) -> float:
    """Rank correlation of severity (clean is 0) and unreliability over the scores of one family."""
    severities, unreliability = [0] * len(clean.reliability[modality]), list(clean.reliability[modality])
    for score in scores:
        severities += [score.condition.severity] * len(score.reliability[modality])
        unreliability += score.reliability[modality]
    return spearman(np.array(severities), -np.array(unreliability))


def _mean_spearman(clean: Score, corrupted: Sequence[Score], modality: Modality) -> float:
    families: dict[str, list[Score]] = {}
    for score in corrupted:
        if score.condition.hit == (modality,):
            families.setdefault(score.condition.kind, []).append(score)
    return _mean([family_spearman(clean, scores, modality) for scores in families.values()])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float('nan')


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
