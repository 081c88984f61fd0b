"""The reliability of each modality: one logit from its image, its features and the other image. [ours]

Learned evidence: statistics of a few small convolutions on the image itself, where noise, blur and holes show before
any normalisation hides them; statistics of the encoder's features, where content shows; with both modalities, how well
structures correlate and edges meet at small shifts, where misalignment shows; and how far the auxiliary image is from
clean ones of its sensor, where failures show that were not in the training.

The checks of the pair are then multiplied in: an image has to pass all of them, so what one check finds in order cannot
make up for what another one finds wrong.

B batch, C channels, H, W map. Runs in float32 whatever the network's precision is: it is a measurement.
"""
from __future__ import annotations

from dataclasses import dataclass
from math import expm1, log
from typing import cast

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.per_modality import PerModality
from rsgmamba_ros.network.reliability.checks.alignment_check import AlignmentCheck
from rsgmamba_ros.network.reliability.checks.edge_alignment import EdgeAlignment
from rsgmamba_ros.network.reliability.checks.scale_check import ScaleCheck
from rsgmamba_ros.network.reliability.checks.typicality import Typicality
from rsgmamba_ros.network.reliability.contract import Check, Observation, ReliabilityEstimate, ReliabilityEstimator
from rsgmamba_ros.network.reliability.precision import in_float32
from rsgmamba_ros.network.reliability.statistics import FeatureStatistics, ImageStatistics, ShiftedCorrelation
from rsgmamba_ros.vocabulary.images import Modality

HIDDEN = 64
INITIAL_LOGIT = 2.0                # of an untrained head: most images are good
#: Logit of an available modality's reliability where it is not estimated.
ASSUMED_LOGIT = 10.0
# Logarithm of the odds without evidence, and the weight of the evidence; chosen on training images. The first two are
# where learning begins, the third is for what is published, besides the learned typicality.
ALIGNED_ODDS, ALIGNED_WEIGHT = 3.0, 1.0
SCALE_ODDS, SCALE_WEIGHT = 2.5, 1.3
TYPICAL_ODDS, TYPICAL_WEIGHT = 4.0, 3.0
SMALLEST_DOUBT = 1e-6              # 1 - reliability; its logit is finite


@dataclass(frozen=True)
class CorrelationConfig:
    """Where two modalities are compared.

    Attributes:
        stages: of the encoder whose maps are correlated.
        radius: greatest shift, pixels of the stage's map.
        edges: whether the images' own edges are compared, too, see `EdgeAlignment`.
    """

    stages: tuple[int, ...] = (0, 1)
    radius: int = 2
    edges: bool = False


class AssumedReliability(ReliabilityEstimator):
    """For networks without gates, and while the gates are off: every available modality counts as reliable."""

    @property
    def checks(self) -> list[Check]:
        """None."""
        return []

    def forward(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> ReliabilityEstimate:
        """See `ReliabilityEstimator`."""
        logits = {modality: image.new_full((len(image),), ASSUMED_LOGIT) for modality, image in images.items()}
        return ReliabilityEstimate(logits, logits)


class OddsWeight(nn.Module):
    """How much the odds of a check count: the logarithm of the factor for one modality's reliability.

    Args:
        odds: logarithm of the odds without evidence, before training.
        weight: of the evidence, before training.
    """

    def __init__(self, odds: float, weight: float):
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), log(expm1(weight))))  # its softplus
        self.bias = nn.Parameter(torch.full((1,), odds))

    def forward(self, odds: Tensor) -> Tensor:
        """Logarithm of the odds, (B,) -> logarithm of the factor, (B,), 0 or less."""
        return F.logsigmoid(self.bias + F.softplus(self.weight) * odds)


class WeightedCheck(nn.Module):
    """A check, and for each modality that it affects how much it counts.

    Args:
        check: what is checked.
        odds: see `OddsWeight`.
        weight: see `OddsWeight`.
    """

    def __init__(self, check: Check, *, odds: float, weight: float):
        super().__init__()
        self.check = check
        self.weights = PerModality(tuple(check.affects), lambda: OddsWeight(odds, weight))

    def forward(self, observation: Observation, reliability: dict[Modality, Tensor]) -> dict[Modality, Tensor]:
        """Logarithms of the factors for the reliabilities that the check affects.

        Args:
            observation: what the check sees.
            reliability: for each available modality (B,), 0..1, before the checks.

        Returns:
            For each affected modality (B,), 0 or less.
        """
        affected = self.check.affected(tuple(reliability))
        odds = self.check.odds(observation) if affected else None
        factors = {}
        for modality in affected:
            factor = self.weights[modality](odds)
            for other in self.check.affects[modality]:
                # An unreliable image is no evidence against the one it is compared with.
                factor = reliability[other] * factor
            factors[modality] = factor
        return factors


class ReliabilityHead(ReliabilityEstimator):
    """One reliability logit for each available modality.

    Args:
        dims: channels of the encoder's stages.
        axis: RGB, then the auxiliary modality.
        correlation: where the modalities are compared.
        typicality: whether to measure how far auxiliary images are from clean ones.
        pair_checks: whether to check the scale of auxiliary images and, where edges are compared, the alignment.
    """

    def __init__(self, dims: tuple[int, ...], axis: tuple[Modality, Modality], correlation: CorrelationConfig, *,
                 typicality: bool = False, pair_checks: bool = False):
        super().__init__()
        rgb, auxiliary = self.axis = axis
        self.images = PerModality(axis, ImageStatistics)
        self.features = PerModality(axis, lambda: FeatureStatistics(dims))
        self.correlated_stages = correlation.stages
        self.correlations = nn.ModuleList(
            ShiftedCorrelation(dims[stage], correlation.radius) for stage in correlation.stages)
        self.edges = nn.ModuleList([EdgeAlignment()] if correlation.edges else [])
        self.typicality = nn.ModuleList([Typicality(auxiliary)] if typicality else [])
        self.pair_checks = nn.ModuleDict()
        if pair_checks and correlation.edges:
            self.pair_checks['alignment'] = WeightedCheck(
                AlignmentCheck(rgb, auxiliary), odds=ALIGNED_ODDS, weight=ALIGNED_WEIGHT)
        if pair_checks:
            self.pair_checks['scale'] = WeightedCheck(
                ScaleCheck(auxiliary, dims[-2:]), odds=SCALE_ODDS, weight=SCALE_WEIGHT)
        alone = self.images[rgb].size + self.features[rgb].size
        compared = sum(item.size for item in (*self.correlations, *self.edges))
        self.alone = PerModality(axis, lambda: nn.Linear(alone, HIDDEN))
        self.together = PerModality(axis, lambda: nn.Linear(compared, HIDDEN))
        self.output = PerModality(axis, lambda: nn.Linear(HIDDEN, 1))
        for modality in axis:
            nn.init.constant_(self.output[modality].bias, INITIAL_LOGIT)

    @property
    def checks(self) -> list[Check]:
        """See `ReliabilityEstimator`."""
        return [*self._typicality] \
            + [cast(WeightedCheck, weighted).check for weighted in self.pair_checks.values()]

    @property
    def _typicality(self) -> list[Typicality]:
        return [cast(Typicality, check) for check in self.typicality]

    def forward(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> ReliabilityEstimate:
        """See `ReliabilityEstimator`."""
        with in_float32(next(iter(images.values())).device.type):
            observation = self._observe(images, features)
            compared = self._compare(observation)
            logits = {modality: self._logit(modality, observation, compared) for modality in images}
            logits = self._checked(logits, observation)
            return ReliabilityEstimate(logits, logits if self.training else self._published(logits, observation))

    def _observe(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> Observation:
        images = {modality: image.float() for modality, image in images.items()}
        features = {modality: [stage.detach().float() for stage in stages] for modality, stages in features.items()}
        first = next(iter(images.values()))
        edges = [module(*(images[modality] for modality in self.axis)) for module in self.edges if len(images) > 1]
        return Observation(images, features, torch.cat([first.new_zeros(len(first), 0), *edges], dim=-1))

    def _compare(self, observation: Observation) -> list[Tensor]:
        """The evidence of a pair, (B, ...) each; none without a pair."""
        if len(observation.images) < 2:
            return []
        rgb, auxiliary = (observation.features[modality] for modality in self.axis)
        correlations = [correlation(rgb[stage], auxiliary[stage])
                        for stage, correlation in zip(self.correlated_stages, self.correlations)]
        return [*correlations, observation.edges]

    def _logit(self, modality: Modality, observation: Observation, compared: list[Tensor]) -> Tensor:
        """The learned logit of one modality, (B,)."""
        alone = torch.cat((self.images[modality](observation.images[modality]),
                           self.features[modality](observation.features[modality])), dim=-1)
        hidden = self.alone[modality](alone)
        if compared:
            hidden = hidden + self.together[modality](torch.cat(compared, dim=-1))
        logit: Tensor = self.output[modality](F.gelu(hidden)).squeeze(-1)
        for typicality in self._typicality:
            if modality in typicality.affects:
                logit = logit + typicality.learned(observation)
        return logit

    def _checked(self, logits: dict[Modality, Tensor], observation: Observation) -> dict[Modality, Tensor]:
        """The logits after the checks of the pair, (B,) each; a single image is checked against nothing."""
        if not self.pair_checks or len(logits) < 2:
            return logits
        reliability = {modality: torch.sigmoid(logit.detach()) for modality, logit in logits.items()}
        log_reliability = {modality: F.logsigmoid(logit) for modality, logit in logits.items()}
        for check in self.pair_checks.values():
            for modality, factor in check(observation, reliability).items():
                log_reliability[modality] = log_reliability[modality] + factor
        return {modality: _logit_of(value) for modality, value in log_reliability.items()}

    def _published(self, logits: dict[Modality, Tensor], observation: Observation) -> dict[Modality, Tensor]:
        """The logits to publish: those of the gates, (B,) each, lowered where an image is unlike all clean ones.

        The gates do without this: a failure that was not in the training is a reason to warn, but gates that close on
        it lose what the corrupted image still shows.
        """
        published = dict(logits)
        for typicality in self._typicality:
            for modality in typicality.affected(tuple(logits)):
                odds = TYPICAL_ODDS + TYPICAL_WEIGHT * typicality.odds(observation)
                published[modality] = _logit_of(F.logsigmoid(published[modality]) + F.logsigmoid(odds))
        return published


def _logit_of(log_probability: Tensor) -> Tensor:
    """Logit of a probability from its logarithm, elementwise."""
    return log_probability - torch.log(-torch.expm1(log_probability.clamp_max(-SMALLEST_DOUBT)))
