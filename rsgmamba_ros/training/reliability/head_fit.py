"""Fitting a `ProfiledHead` to the evidence of many sensors. No image is needed any more: it takes a minute on a CPU.

Every epoch each sensor is seen either without a profile or with one of some of its clean images, and the rest of its
images, clean and corrupted, are what the head is taught on.

N images of one sensor, F figures, B batch.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from rsgmamba_ros.evaluation.protocols import TARGET_OF_SEVERITY
from rsgmamba_ros.network.checkpoint import Calibration
from rsgmamba_ros.network.reliability.profiled.head import Expectation, MEMBERS_ASKED, ProfiledHead, QUESTIONS
from rsgmamba_ros.training.calibration import fit_calibration
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import Signature

#: Ridge of the regression of the mean distance on RGB's pooled features, as a share of the number of images.
LEVEL_RIDGE = 0.3
#: How large the change by a failure is beside that at severity 3, by severity from 0; of mild ones nothing is learned.
SIZE_OF_SEVERITY = (0.0, 0.0, 0.6, 1.0, 1.3, 1.6)
#: Departures that no family has are mixed in, so that what nobody trained lowers the reliability, too: their size in
#: standard deviations of clean images, and the reliability that they deserve at either end.
SMALLEST_DEPARTURE, GREATEST_DEPARTURE = 2.0, 8.0
HIGHEST_TARGET, LOWEST_TARGET = 0.7, 0.05


@dataclass(frozen=True, eq=False)
class SensorEvidence:
    """The evidence of images of one pair of cameras.

    Attributes:
        name: of the sensor, for reports.
        figures: see `ProfiledHead.figures`, (N, F) float32.
        target: what the image or pair deserves by what was done to it, (N,) float32 in 0..1; 1 for clean ones.
        question: index in `QUESTIONS` of the one that what was done concerns, (N,) int; -1 for clean ones.
        reference: those of the clean ones that a profile may be made of, (N,) bool, in the order in which they came.
        image: index of the image that each item shows, (N,) int: clean and corrupted ones of an image have the same.
        signature: name of the failure as `signatures` has it, (N,) str; empty for clean ones and held-out failures.
        weight: how much the sensor counts in the prior.
    """

    name: str
    figures: np.ndarray
    target: np.ndarray
    question: np.ndarray
    reference: np.ndarray
    image: np.ndarray
    signature: np.ndarray
    weight: float = 1.0

    @property
    def clean(self) -> np.ndarray:
        """The images that are not corrupted, (N,) bool."""
        return self.question < 0


@dataclass(frozen=True)
class HeadFitConfig:
    """How a head is fitted.

    Attributes:
        epochs: passes over the sensors.
        learning_rate: its peak; it falls like a cosine.
        weight_decay: of the members.
        profiled: probability that a sensor is seen with a profile.
        references: fewest and most reference images of a profile.
        images: at most so many images of a sensor in an epoch.
        unknown: share of the clean images that get a departure of no known family.
        seed: of everything that is drawn.
    """

    epochs: int = 40
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    profiled: float = 0.6
    references: tuple[int, int] = (8, 20)
    images: int = 120
    unknown: float = 0.1
    batch_size: int = 256
    seed: int = 0


def fit_head(head: ProfiledHead, sensors: Sequence[SensorEvidence], config: HeadFitConfig) -> None:
    """Fit what is normal over sensors and the usual signatures, then train the members.

    Args:
        sensors: their figures get the level that RGB does not explain; nothing else in them changes.
    """
    fit_level(head, sensors)
    fit_prior(head, sensors)
    fit_signatures(head, sensors)
    for index in range(len(head.members_of(MEMBERS_ASKED[0]))):
        _fit_member(head, index, sensors, config)
    head.eval()


@torch.no_grad()
def calibrate_head(head: ProfiledHead, sensors: Sequence[SensorEvidence], *, clean_share: float) -> Calibration:
    """Fit the map from logits to the published reliability, on sensors that the head was not fitted to.

    Every sensor is seen without a profile and with one; the map is the same for both.

    Args:
        clean_share: of the images in use.

    Returns:
        See `network.checkpoint.Checkpoint.calibration`.
    """
    logits: dict[Modality, list[np.ndarray]] = {modality: [] for modality in head.axis}
    severities: dict[Modality, list[np.ndarray]] = {modality: [] for modality in head.axis}
    level, pooled = head.layout['level'].start, head.layout['rgb_pooled']
    precisions = head.signatures.precisions()
    for sensor in sensors:
        figures = sensor.figures.copy()
        figures[:, level] -= figures[:, pooled] @ head.level_slope.cpu().numpy()
        references = np.flatnonzero(sensor.reference)
        others = np.flatnonzero(~np.isin(sensor.image, sensor.image[references]))
        sensor = replace(sensor, figures=figures)
        for expected in (None, _expected(head, sensor, references, precisions)):
            given = head.logits(torch.from_numpy(figures[others]), head.axis, expected)
            for modality, hit in zip(head.axis, (('rgb', 'alignment'), ('auxiliary', 'alignment', 'scale'))):
                is_hit = np.isin(sensor.question[others], [QUESTIONS.index(question) for question in hit])
                target = np.where(is_hit, sensor.target[others], 1.0)
                logits[modality].append(given[modality].cpu().numpy())
                severities[modality].append(np.abs(target[:, None] - np.array(TARGET_OF_SEVERITY)).argmin(-1))
    return {modality.value: fit_calibration(np.concatenate(logits[modality]), np.concatenate(severities[modality]),
                                            clean_share=clean_share) for modality in head.axis}


@torch.no_grad()
def fit_level(head: ProfiledHead, sensors: Sequence[SensorEvidence]) -> None:
    """Learn how the mean distance goes with what RGB shows, within sensors, and take that out of the figures.

    A wrong scale of depth changes the distance and nothing in RGB.
    """
    column, pooled = head.layout['level'].start, head.layout['rgb_pooled']
    previous = head.level_slope.cpu().numpy().astype(np.float64)
    inputs, levels = [], []
    for sensor in sensors:
        clean = sensor.figures[sensor.clean].astype(np.float64)
        if len(clean) > 1:
            level = clean[:, column] + clean[:, pooled] @ previous
            inputs.append(clean[:, pooled] - clean[:, pooled].mean(0))
            levels.append(level - level.mean())
    x, y = np.concatenate(inputs), np.concatenate(levels)
    deviation = x.std(0) + 1e-3
    x = x / deviation
    slope = np.linalg.solve(x.T @ x + LEVEL_RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y) / deviation
    for sensor in sensors:
        sensor.figures[:, column] += sensor.figures[:, pooled] @ (previous - slope).astype(np.float32)
    head.level_slope.copy_(torch.from_numpy(slope).float())


@torch.no_grad()
def fit_prior(head: ProfiledHead, sensors: Sequence[SensorEvidence]) -> None:
    """Learn the mean over sensors, the variance between them and the variance within one."""
    means = np.stack([sensor.figures[sensor.clean].astype(np.float64).mean(0) for sensor in sensors])
    variances = np.stack([sensor.figures[sensor.clean].astype(np.float64).var(0) for sensor in sensors])
    weights = np.array([sensor.weight for sensor in sensors])[:, None] / sum(sensor.weight for sensor in sensors)
    mean = (means * weights).sum(0)
    between = ((means - mean) ** 2 * weights).sum(0) + 1e-6
    within = (variances * weights).sum(0) + 0.02 * between + 1e-6
    head.normality.set_prior(*(torch.from_numpy(value).float() for value in (mean, between, within)))


def _fit_member(head: ProfiledHead, index: int, sensors: Sequence[SensorEvidence], config: HeadFitConfig) -> None:
    """Train the members of that index, of all questions at once."""
    rng = np.random.default_rng(config.seed + index)
    torch.manual_seed(config.seed + index)
    members = {question: head.members_of(question)[index] for question in MEMBERS_ASKED}
    optimizer = torch.optim.AdamW([weight for member in members.values() for weight in member.parameters()],
                                  lr=config.learning_rate, weight_decay=config.weight_decay)
    for member in members.values():
        member.train().requires_grad_()  # of an averaged network it is frozen
    for epoch in tqdm(range(config.epochs), desc=f'reliability head, member {index}', unit='epoch'):
        rate = config.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))
        for group in optimizer.param_groups:
            group['lr'] = rate
        for question, (departures, has_profile, targets) in _epoch(head, sensors, config, rng).items():
            for batch in torch.split(torch.from_numpy(rng.permutation(len(targets))), config.batch_size):
                logits = members[question](departures[batch], has_profile[batch])
                loss = F.binary_cross_entropy_with_logits(logits, targets[batch])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
    for member in members.values():
        member.eval()


@torch.no_grad()
def _epoch(head: ProfiledHead, sensors: Sequence[SensorEvidence], config: HeadFitConfig,
           rng: np.random.Generator) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """For each question departures, whether they are from a profile, and targets, see `Member.forward`."""
    rows: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {question: [] for question in MEMBERS_ASKED}
    for sensor in sensors:
        references = _draw_references(sensor, config, rng)
        has_profile = bool(len(references))
        # What a profile knows already, corrupted reference images included, is no lesson.
        others = np.flatnonzero(~np.isin(sensor.image, sensor.image[references]))
        chosen = rng.permutation(others)[:config.images]
        mean, variance = _posterior(head, torch.from_numpy(sensor.figures[references])) if has_profile else \
            head.normality.prior
        for index, question in enumerate(MEMBERS_ASKED):
            items = chosen[_concerned(sensor.question[chosen], index)]
            figures, target = _with_unknown(head, question, sensor.figures[items],
                                            np.where(sensor.question[items] == index, sensor.target[items], 1.0),
                                            has_profile=has_profile, config=config, rng=rng)
            departures = head.departures(torch.from_numpy(figures), [question], mean, variance)[question]
            rows[question].append((departures, torch.full((len(items), 1), float(has_profile)),
                                   torch.from_numpy(target).float()))
    return {question: (torch.cat([row[0] for row in found]), torch.cat([row[1] for row in found]),
                       torch.cat([row[2] for row in found])) for question, found in rows.items() if found}


def _concerned(questions: np.ndarray, index: int) -> np.ndarray:
    """Which images a question is taught on, (N,) bool: clean ones, those that it is about, and those that it is not.

    What happens to one image alone changes nothing in how the other one looks; but a corrupted image says nothing of
    alignment and scale, and a wrong scale changes how distances look.
    """
    name = QUESTIONS[index]
    own: np.ndarray = (questions < 0) | (questions == index)
    others = {'rgb': ('auxiliary', 'alignment', 'scale'), 'auxiliary': ('rgb', 'alignment')}.get(name, ())
    own |= np.isin(questions, [QUESTIONS.index(other) for other in others])
    return own


def _draw_references(sensor: SensorEvidence, config: HeadFitConfig, rng: np.random.Generator) -> np.ndarray:
    """Indices of the reference images of one profile; none where the sensor is seen without."""
    pool = np.flatnonzero(sensor.reference)
    fewest, most = config.references
    if rng.random() >= config.profiled or len(pool) < fewest:
        return np.empty(0, int)
    # A stretch of them, as a robot takes them in one place.
    count = min(int(rng.integers(fewest, most + 1)), max(fewest // 2, 2 * len(pool) // 3))
    start = int(rng.integers(len(pool) - count + 1))
    chosen: np.ndarray = pool[start:start + count]
    return chosen


def _expected(head: ProfiledHead, sensor: SensorEvidence, references: np.ndarray,
              precisions: Mapping[str, Tensor]) -> Expectation:
    """What a profile of some reference images says."""
    values = torch.from_numpy(sensor.figures[references])
    return Expectation(*_posterior(head, values), head.signatures.fitted(
        values.mean(0), signatures_of(sensor, sensor.image[references]), precisions))


def _posterior(head: ProfiledHead, references: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance to expect after some reference images, (images, F) -> (F,) each."""
    return head.normality.posterior(references.mean(0), references.var(0, unbiased=False), float(len(references)))


def signatures_of(sensor: SensorEvidence, images: np.ndarray) -> dict[str, Signature]:
    """What each failure does to the figures of some images, as if of the severity at which profiles are made.

    Args:
        images: values of `SensorEvidence.image`.
    """
    clean = {int(sensor.image[item]): item for item in np.flatnonzero(sensor.clean)}
    changes: dict[str, list[np.ndarray]] = {}
    for item in np.flatnonzero(np.isin(sensor.image, images) & (sensor.signature != '')):
        size = SIZE_OF_SEVERITY[int(np.abs(np.array(TARGET_OF_SEVERITY) - sensor.target[item]).argmin())]
        if size:
            change = sensor.figures[item] - sensor.figures[clean[int(sensor.image[item])]]
            changes.setdefault(str(sensor.signature[item]), []).append(change / size)
    return {name: Signature(np.mean(found, axis=0), len(found)) for name, found in changes.items()}


@torch.no_grad()
def fit_signatures(head: ProfiledHead, sensors: Sequence[SensorEvidence]) -> None:
    """Learn how images of one sensor differ, and what each failure usually does."""
    head.signatures.set_prior([torch.from_numpy(sensor.figures[sensor.clean]) for sensor in sensors],
                              [signatures_of(sensor, sensor.image) for sensor in sensors])


def _with_unknown(head: ProfiledHead, question: str, figures: np.ndarray, target: np.ndarray, *, has_profile: bool,
                  config: HeadFitConfig, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Some clean images with a departure of no known family: a stretch of neighbouring figures moves together."""
    figures, target = figures.copy(), target.copy()
    if question not in ('rgb', 'auxiliary'):
        return figures, target
    variance = head.normality.within if has_profile else head.normality.prior[1]
    deviation, part = variance.sqrt().cpu().numpy(), head.layout[question]
    for index in np.flatnonzero((rng.random(len(figures)) < config.unknown) & (target >= 1)):
        length = int(rng.integers(6, 30))
        start = int(rng.integers(part.start, max(part.start + 1, part.stop - length)))
        size = rng.uniform(SMALLEST_DEPARTURE, GREATEST_DEPARTURE)
        direction = rng.choice([-1.0, 1.0]) + 0.7 * rng.standard_normal(length)
        stretch = slice(start, start + length)
        figures[index, stretch] += (size * direction * deviation[stretch]).astype(np.float32)
        target[index] = np.interp(size, (SMALLEST_DEPARTURE, GREATEST_DEPARTURE), (HIGHEST_TARGET, LOWEST_TARGET))
    return figures, target
