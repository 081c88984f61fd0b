"""What an evaluation leaves: summary.json, results.md and pictures."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rsgmamba_ros.data.corruptions import FAMILIES
from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.evaluation.protocols import Condition
from rsgmamba_ros.evaluation.scoring import family_auroc, Score, segment_sample
from rsgmamba_ros.evaluation.sensors import as_json, over_sensors, SensorResult, table
from rsgmamba_ros.pipeline.postprocessing import grey, overlay
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace

SCHEMA_VERSION = 1

#: What is drawn for every family over its severities, by the name of the picture.
FAMILY_FIGURES: dict[str, Callable[[Score, Modality], float]] = {
    'miou_by_family': lambda score, modality: score.confusion.miou(),
    'reliability_by_severity': lambda score, modality: score.mean_reliability(modality),
}


def write_summary(folder: Path, summary: dict[str, Any], scores: Sequence[Score], info: dict[str, Any]) -> None:
    """Write `summary.json`: the summary, every condition, and how it was made. Figures that do not exist are null."""
    conditions = [{'name': score.condition.name, 'group': score.condition.group, 'kind': score.condition.kind,
                   'hit': [str(m) for m in score.condition.hit], 'severity': score.condition.severity,
                   'miou': score.confusion.miou(), 'pixel_accuracy': score.confusion.pixel_accuracy(),
                   'confidence_ece': score.confidence.calibration_error(),
                   'reliability': {str(m): score.mean_reliability(m) for m in score.reliability}} for score in scores]
    content = {'schema_version': SCHEMA_VERSION, **info, **summary, 'conditions': conditions}
    (folder / 'summary.json').write_text(json.dumps(_without_nan(content), indent=1) + '\n')


def write_sensors(folder: Path, results: Sequence[SensorResult], info: Mapping[str, Any]) -> str:
    """Write `sensors.json` and `sensors.md`; the table of it."""
    content = {'schema_version': SCHEMA_VERSION, **info, 'over_sensors': over_sensors(results),
               'sensors': [as_json(result) for result in results]}
    (folder / 'sensors.json').write_text(json.dumps(_without_nan(content), indent=1) + '\n')
    text = table(results)
    (folder / 'sensors.md').write_text('# Sensors\n\n' + ''.join(f'- {key}: {value}\n' for key, value in info.items())
                                       + f'\n{text}')
    return text


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def markdown(summary: dict[str, Any], scores: Sequence[Score], labels: LabelSpace, info: dict[str, Any]) -> str:
    """The results as Markdown tables."""
    clean = next(score for score in scores if score.condition.group == 'clean')
    lines = ['# Evaluation', '', *(f'- {key}: {value}' for key, value in info.items()), '',
             '| figure | value |', '|---|---|']
    for key, value in summary.items():
        if key != 'per_class_iou':
            shown = ', '.join(f'{name} {_figure(item)}' for name, item in value.items()) if isinstance(value, dict) \
                else _figure(value)
            lines.append(f'| {key} | {shown} |')
    lines += ['', '| class | IoU |', '|---|---|']
    lines += [f'| {name} | {_figure(value)} |' for name, value in zip(labels.names, clean.confusion.iou())]
    modalities = list(clean.reliability)
    lines += ['', f'| condition | mIoU | confidence ECE | {" | ".join(f"reliability {m}" for m in modalities)} | AUROC '
              '| held out |', '|---|---|---|' + '---|' * len(modalities) + '---|---|']
    lines += [_condition_row(score, clean, modalities) for score in scores]
    return '\n'.join(lines) + '\n'


def _condition_row(score: Score, clean: Score, modalities: Sequence[Modality]) -> str:
    reliability = ' | '.join(_figure(score.mean_reliability(m)) for m in modalities)
    is_single = score.condition.group == 'corruptions' and len(score.condition.hit) == 1
    area = _figure(family_auroc(clean, score, score.condition.hit[0])) if is_single else ''
    held_out = 'yes' if is_single and FAMILIES[score.condition.kind].held_out else ''
    return (f'| {score.condition.name} | {_figure(score.confusion.miou())} '
            f'| {_figure(score.confidence.calibration_error())} | {reliability} | {area} | {held_out} |')


def _figure(value: float | None) -> str:
    return '' if value is None or math.isnan(value) else f'{value:.3f}'


def draw_pictures(folder: Path, scores: Sequence[Score], labels: LabelSpace) -> None:
    """Write `confusion.png`, and where corruptions were scored `miou_by_family.png`, `reliability_by_severity.png`."""
    from matplotlib.figure import Figure

    clean = next(score for score in scores if score.condition.group == 'clean')
    _draw_confusion(folder / 'confusion.png', clean, labels)
    families: dict[Modality, dict[str, list[Score]]] = {}
    for score in scores:
        if score.condition.group == 'corruptions' and len(score.condition.hit) == 1:
            families.setdefault(score.condition.hit[0], {}).setdefault(score.condition.kind, []).append(score)
    if not families:
        return
    for name, figure_of in FAMILY_FIGURES.items():
        figure = Figure(figsize=(7 * len(families), 5), layout='constrained')
        for panel, (modality, curves) in zip(np.ravel(figure.subplots(1, len(families))), families.items()):
            for family, points in curves.items():
                style = '--' if FAMILIES[family].held_out else '-'
                panel.plot([0, *(score.condition.severity for score in points)],
                           [figure_of(clean, modality), *(figure_of(score, modality) for score in points)], style,
                           marker='.', label=family)
            panel.set(title=f'{name.replace("_", " ")}: {modality} corrupted (dashed: held out of training)',
                      xlabel='severity, 0 is clean', ylim=(0, 1.02))
            panel.grid(alpha=0.3)
            panel.legend(fontsize=7, ncols=2)
        figure.savefig(folder / f'{name}.png', dpi=110)


def _draw_confusion(path: Path, clean: Score, labels: LabelSpace) -> None:
    from matplotlib.figure import Figure

    counts = clean.confusion.counts
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = max(4.0, 0.45 * len(labels))
    figure = Figure(figsize=(size + 1, size), layout='constrained')
    panel = figure.subplots()
    panel.imshow(shares, vmin=0, vmax=1, cmap='viridis')
    panel.set_xticks(range(len(labels)), labels.names, rotation=90, fontsize=7)
    panel.set_yticks(range(len(labels)), labels.names, fontsize=7)
    panel.set(title='clean: share of a true class given each label', xlabel='label given', ylabel='true class')
    for row, column in np.ndindex(shares.shape) if len(labels) <= 20 else ():
        if shares[row, column] >= 0.01:
            panel.text(column, row, f'{100 * shares[row, column]:.0f}', ha='center', va='center', fontsize=6,
                       color='black' if shares[row, column] > 0.6 else 'white')
    figure.savefig(path, dpi=110)


def draw_panels(folder: Path, segmenter: Segmenter, dataset: Dataset, conditions: Sequence[Condition], *,
                indices: Sequence[int], seed: int) -> None:
    """Write `panels.png`: a row for each sample and condition, with the images, the truth and the labels given."""
    rows = []
    for index in indices:
        sample = dataset[index]
        for condition in conditions:
            values = condition.apply(sample, dataset.auxiliary, seed=seed, index=index)
            result = segment_sample(segmenter, sample, condition, seed=seed, index=index)
            blank = np.zeros_like(sample.rgb)
            rgb = values.get(Modality.RGB, blank)
            auxiliary = grey(values[dataset.auxiliary]) if dataset.auxiliary in values else blank
            truth = dataset.labels.colourise(sample.label_map)
            given = overlay(rgb, result.label_map, dataset.labels, alpha=0.7)
            row = np.hstack([rgb, auxiliary, truth, given])
            reliability = ' '.join(f'{m} {entry.reliability:.2f}' for m, entry in result.reliability.items())
            cv2.putText(row, f'{condition.name}  {reliability}', (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45,
                        (255, 255, 0), 1, cv2.LINE_AA)
            rows.append(row)
    cv2.imwrite(str(folder / 'panels.png'), np.vstack(rows)[..., ::-1])
