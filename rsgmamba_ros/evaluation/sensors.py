"""Reliability on cameras that took no part in training: a sensor's own look is clean, only a departure from it fails.

Each sensor is scored by the general prior, and by a profile of its first images; both settings score the same images,
those that the profile did not see. Corruptions come on top of the sensor's own holes and noise.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from rsgmamba_ros.data.samples import bundle_of, Dataset
from rsgmamba_ros.data.signature_failures import inflict_signatures
from rsgmamba_ros.evaluation.protocols import Condition, conditions_of, missing_conditions
from rsgmamba_ros.evaluation.scoring import (
    check_fit,
    family_auroc,
    family_spearman,
    Progress,
    QUOTED_SEVERITY,
    reliability_calibration_error,
    Score,
    score_conditions,
    use_stretch,
)
from rsgmamba_ros.pipeline.profiling import evenly_spread, ProfileMaker
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.vocabulary.errors import ConfigError, DatasetError, ProfileError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import FEWEST_IMAGES, SensorProfile

PRIOR, PROFILE = SETTINGS = ('prior', 'profile')
#: Reliability of a clean image below which a user who acts on it gets a false alarm.
FALSE_ALARM = 0.5


@dataclass(frozen=True)
class ModalityFigures:
    """Figures of one modality of one sensor; NaN where there are none.

    Attributes:
        clean: mean reliability of the clean images.
        clean_p5: 5th percentile of it.
        false_alarms: share of the clean images below `FALSE_ALARM`.
        auroc: of corrupted images of severity 3 against clean ones, mean over the families; images that a family does
            not change are left out.
        spearman: rank correlation of severity and unreliability, mean over the families.
        calibration_error: see `reliability_calibration_error`.
        noticed: a failure of severity 3 begins and stays: share of the stretches of `NOTICED_WITHIN` images, over the
            families, in which the reliability falls below `FALSE_ALARM` at least once.
        auroc_by_family: see `auroc`.
    """

    clean: float
    clean_p5: float
    false_alarms: float
    auroc: float
    spearman: float
    calibration_error: float
    noticed: float
    auroc_by_family: Mapping[str, float] = field(default_factory=dict)


#: A failure that stays should be noticed within so many images.
NOTICED_WITHIN = 5

#: Figures that are quoted, and what picks the worst sensor.
FIGURES: dict[str, Callable[[Sequence[float]], float]] = {
    'clean': min, 'clean_p5': min, 'false_alarms': max, 'auroc': min, 'spearman': min, 'calibration_error': max,
    'noticed': min}


@dataclass(frozen=True)
class SensorResult:
    """One sensor in one setting.

    Attributes:
        setting: a name in `SETTINGS`.
        images: how many were scored.
        profile_images: how many the profile is made of; 0 for the prior.
        figures: by modality.
        miou: with both images, and without one of them (`without_rgb`, ...); empty without labels.
        confidence_ece: expected calibration error of the confidence; NaN without labels.
    """

    sensor: str
    setting: str
    images: int
    profile_images: int
    figures: Mapping[Modality, ModalityFigures]
    miou: Mapping[str, float]
    confidence_ece: float


@dataclass(frozen=True)
class SensorProtocol:
    """How sensors are scored.

    Attributes:
        severities: of the corruptions; the one that is quoted must be among them.
        profile_images: first images of each sensor that its profile is made of; at most half of them. 0 for no profile.
        limit: most images that are scored of each sensor, evenly spread; 0 for all.
        seed: of the corruptions.
    """

    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    profile_images: int = 20
    limit: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if QUOTED_SEVERITY not in self.severities:
            raise ConfigError(f'severity {QUOTED_SEVERITY} is quoted and must be among the severities')
        if self.profile_images < 0 or self.limit < 0:
            raise ConfigError('profile_images and limit must be 0 or more')


def score_sensor(segmenter: Segmenter, dataset: Dataset, sensor: str, protocol: SensorProtocol, *,
                 progress: Progress = iter) -> tuple[list[SensorResult], str]:
    """Score one sensor by the prior and, if its images allow it, by a profile.

    Returns:
        A result for each setting, and why there is none by a profile (empty if there is).

    Raises:
        DatasetError: the dataset does not fit the checkpoint.
    """
    check_fit(segmenter, dataset)
    use_stretch(segmenter, dataset)
    held_back = min(protocol.profile_images, len(dataset) // 2)
    held_back = held_back if held_back >= FEWEST_IMAGES else 0
    profile, reason = None, ''
    try:
        profile = _profile(segmenter, dataset, sensor, held_back)
    except ProfileError as error:
        reason = str(error)  # the same images are scored, so that networks can be compared
    rest = range(held_back, len(dataset))
    indices = [rest[index] for index in evenly_spread(len(rest), protocol.limit or len(rest))]
    conditions = _conditions(segmenter, dataset, protocol, has_earlier=dataset[indices[0]].earlier is not None)
    score = partial(score_conditions, segmenter, dataset, conditions, indices=indices, seed=protocol.seed,
                    progress=progress)
    results = [_result(sensor, PRIOR, score(), segmenter.modalities, images=len(indices), profile_images=0)]
    if profile is not None:
        segmenter.set_profile(profile, name=sensor)
        try:
            results.append(_result(sensor, PROFILE, score(), segmenter.modalities, images=len(indices),
                                   profile_images=profile.images))
        finally:
            segmenter.set_profile(None)
    return results, reason


def _profile(segmenter: Segmenter, dataset: Dataset, sensor: str, images: int) -> SensorProfile:
    """Make the profile of the first images."""
    if not images:
        raise ProfileError(f'a profile needs {FEWEST_IMAGES} images, and as many to score')
    maker = ProfileMaker(segmenter, inflict_signatures)
    for index in range(images):
        sample = dataset[index]
        maker.add(bundle_of({Modality.RGB: sample.rgb, dataset.auxiliary: sample.auxiliary}, index))
    return maker.make(sensor)


def _conditions(segmenter: Segmenter, dataset: Dataset, protocol: SensorProtocol, *,
                has_earlier: bool) -> list[Condition]:
    conditions = [condition for condition in conditions_of('corruptions', segmenter.auxiliary,
                                                           severities=protocol.severities, has_earlier=has_earlier)
                  if len(condition.hit) < 2]
    missing = [condition for condition in missing_conditions(segmenter.auxiliary) if condition.group == 'missing']
    return conditions + (missing if dataset.is_labelled else [])


def _result(sensor: str, setting: str, scores: Sequence[Score], modalities: Sequence[Modality], *, images: int,
            profile_images: int) -> SensorResult:
    clean = next(score for score in scores if score.condition.group == 'clean')
    corrupted = [score for score in scores if score.condition.group == 'corruptions']
    miou = {} if np.isnan(clean.confusion.miou()) else {'both': clean.confusion.miou()} | {
        f'without_{score.condition.hit[0]}': score.confusion.miou()
        for score in scores if score.condition.group == 'missing'}
    return SensorResult(sensor, setting, images, profile_images,
                        {modality: _figures(clean, corrupted, modality) for modality in modalities}, miou,
                        clean.confidence.calibration_error())


def _figures(clean: Score, corrupted: Sequence[Score], modality: Modality) -> ModalityFigures:
    families: dict[str, list[Score]] = {}
    for score in corrupted:
        if score.condition.hit == (modality,) and score.reliability.get(modality):
            families.setdefault(score.condition.kind, []).append(score)
    auroc = {family: family_auroc(clean, score, modality) for family, scores in families.items()
             for score in scores if score.condition.severity == QUOTED_SEVERITY}
    spearman = [family_spearman(clean, scores, modality) for scores in families.values()]
    found = [noticed(score.reliability[modality]) for scores in families.values() for score in scores
               if score.condition.severity == QUOTED_SEVERITY]
    values = np.array(clean.reliability[modality])
    return ModalityFigures(
        float(values.mean()), float(np.percentile(values, 5)), float((values < FALSE_ALARM).mean()),
        _mean(list(auroc.values())), _mean(spearman), reliability_calibration_error(clean, corrupted, modality),
        _mean(found), auroc)


def noticed(reliability: Sequence[float]) -> float:
    """Share of the stretches of neighbouring images in which at least one has a low reliability."""
    stretches = [reliability[start:start + NOTICED_WITHIN]
                 for start in range(max(len(reliability) - NOTICED_WITHIN, 0) + 1)]
    return float(np.mean([min(stretch) < FALSE_ALARM for stretch in stretches]))


def over_sensors(results: Sequence[SensorResult]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Mean and worst of every figure over the sensors, by setting and modality."""
    summary: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for setting in dict.fromkeys(result.setting for result in results):
        own = [result.figures for result in results if result.setting == setting]
        summary[setting] = {
            str(modality): {name: _spread([getattr(figures[modality], name) for figures in own], worst)
                            for name, worst in FIGURES.items()}
            for modality in own[0]}
    return summary


def _spread(values: Sequence[float], worst: Callable[[Sequence[float]], float]) -> dict[str, float]:
    there = [value for value in values if not np.isnan(value)]
    return {'mean': _mean(there), 'worst': worst(there) if there else float('nan')}


def _mean(values: Sequence[float]) -> float:
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else float('nan')


def as_json(result: SensorResult) -> dict[str, Any]:
    """One result as plain values."""
    return {'sensor': result.sensor, 'setting': result.setting, 'images': result.images,
            'profile_images': result.profile_images, 'miou': dict(result.miou),
            'confidence_ece': result.confidence_ece,
            'modalities': {str(modality): {**{name: getattr(figures, name) for name in FIGURES},
                                           'auroc_by_family': dict(figures.auroc_by_family)}
                           for modality, figures in result.figures.items()}}


def table(results: Sequence[SensorResult]) -> str:
    """The results as a Markdown table, mean and worst at the end."""
    modalities = list(results[0].figures)
    heads = [f'{modality} {name}' for modality in modalities for name in FIGURES]
    lines = [f'| sensor | setting | images | {" | ".join(heads)} | mIoU |', '|---|---|--:|' + '--:|' * (len(heads) + 1)]
    lines += [f'| {result.sensor} | {result.setting} | {result.images} | ' + ' | '.join(
        _shown(getattr(result.figures[modality], name)) for modality in modalities for name in FIGURES)
        + f' | {", ".join(f"{name} {_shown(value)}" for name, value in result.miou.items())} |' for result in results]
    for setting, summary in over_sensors(results).items():
        lines += [f'| **{rank}** | {setting} | | ' + ' | '.join(
            _shown(summary[str(modality)][name][rank]) for modality in modalities for name in FIGURES) + ' | |'
            for rank in ('mean', 'worst')]
    return '\n'.join(lines) + '\n'


def _shown(value: float) -> str:
    return '' if np.isnan(value) else f'{value:.3f}'


def sensor_names(folders: Sequence[str]) -> list[str]:
    """A name for each folder: its last part, with as many parts before it as tell them apart.

    Raises:
        DatasetError: no folder, or one is named twice.
    """
    parts = [folder.rstrip('/').split('/') for folder in folders]
    if not folders or len(set(map(tuple, parts))) < len(parts):
        raise DatasetError('name at least one folder of images, each once')
    names = ['/'.join(part[-1:]) for part in parts]
    count = 1
    while len(set(names)) < len(names):
        count += 1
        names = ['/'.join(part[-count:]) for part in parts]
    return names
