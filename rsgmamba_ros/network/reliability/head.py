"""The reliability of each modality: one logit from its image, its features and the other image. [ours]

The evidence is learned. Statistics of a few small convolutions on the image show noise, blur and holes before any
normalisation hides them. Statistics of the encoder's features show the content. With both modalities, the correlation
of their features at small shifts shows misalignment.

B batch, C channels, H, W map. Runs in float32 whatever the network's precision is: it is a measurement.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.encoders.contract import STRIDES
from rsgmamba_ros.network.per_modality import PerModality
from rsgmamba_ros.network.reliability.contract import ReliabilityEstimator
from rsgmamba_ros.network.reliability.precision import in_float32
from rsgmamba_ros.network.reliability.statistics import FeatureStatistics, ImageStatistics, ShiftedCorrelation
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

HIDDEN = 64
INITIAL_LOGIT = 2.0  # of an untrained head: most images are good
#: Logit of an available modality's reliability where it is not estimated.
ASSUMED_LOGIT = 10.0


@dataclass(frozen=True)
class CorrelationConfig:
    """Where two modalities are compared.

    Attributes:
        stages: of the encoder whose maps are correlated.
        radius: greatest shift, pixels of the stage's map.
    """

    stages: tuple[int, ...] = (0, 1)
    radius: int = 2

    def __post_init__(self) -> None:
        if not all(0 <= stage < len(STRIDES) for stage in self.stages) or not 0 <= self.radius <= 16:
            raise ConfigError(f'correlation has stages {self.stages} and radius {self.radius}; stages must lie in '
                              f'0..{len(STRIDES) - 1} and the radius in 0..16')


class AssumedReliability(ReliabilityEstimator):
    """For networks without gates, and while the gates are off: every available modality counts as reliable."""

    def forward(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> dict[Modality, Tensor]:
        """See `ReliabilityEstimator`."""
        return {modality: image.new_full((len(image),), ASSUMED_LOGIT) for modality, image in images.items()}


class ReliabilityHead(ReliabilityEstimator):
    """One reliability logit for each available modality.

    Args:
        dims: channels of the encoder's stages.
        axis: RGB, then the auxiliary modality.
        correlation: where the modalities are compared.
    """

    def __init__(self, dims: tuple[int, ...], axis: tuple[Modality, Modality], correlation: CorrelationConfig):
        super().__init__()
        self.axis = axis
        self.images = PerModality(axis, ImageStatistics)
        self.features = PerModality(axis, lambda: FeatureStatistics(dims))
        self.correlated_stages = correlation.stages
        correlations = [ShiftedCorrelation(dims[stage], correlation.radius) for stage in correlation.stages]
        self.correlations = nn.ModuleList(correlations)
        alone = self.images[axis[0]].size + self.features[axis[0]].size
        compared = sum(item.size for item in correlations)
        self.alone = PerModality(axis, lambda: nn.Linear(alone, HIDDEN))
        self.together = PerModality(axis, lambda: nn.Linear(compared, HIDDEN))
        self.output = PerModality(axis, lambda: nn.Linear(HIDDEN, 1))
        for modality in axis:
            nn.init.constant_(self.output[modality].bias, INITIAL_LOGIT)

    def forward(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> dict[Modality, Tensor]:
        """See `ReliabilityEstimator`."""
        with in_float32(next(iter(images.values())).device.type):
            images = {modality: image.float() for modality, image in images.items()}
            features = {modality: [stage.detach().float() for stage in stages]
                        for modality, stages in features.items()}
            compared = self._compare(features)
            return {modality: self._logit(modality, images[modality], features[modality], compared)
                    for modality in images}

    def _compare(self, features: dict[Modality, list[Tensor]]) -> list[Tensor]:
        """How the features of a pair correlate, (B, ...) for each compared stage; empty without a pair."""
        if len(features) < 2:
            return []
        rgb, auxiliary = (features[modality] for modality in self.axis)
        return [correlation(rgb[stage], auxiliary[stage])
                for stage, correlation in zip(self.correlated_stages, self.correlations)]

    def _logit(self, modality: Modality, image: Tensor, features: list[Tensor], compared: list[Tensor]) -> Tensor:
        """The logit of one modality, (B,)."""
        alone = torch.cat((self.images[modality](image), self.features[modality](features)), dim=-1)
        hidden = self.alone[modality](alone)
        if compared:
            hidden = hidden + self.together[modality](torch.cat(compared, dim=-1))
        logit: Tensor = self.output[modality](F.gelu(hidden)).squeeze(-1)
        return logit
