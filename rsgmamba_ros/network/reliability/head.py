"""How far a modality can be trusted: one logit from what its image and its features look like. [ours]

Four kinds of evidence are learned from: statistics of a few small convolutions on the image itself, where noise, blur
and holes show before any normalisation hides them; statistics of the encoder's features, where content shows; with both
modalities there, how well structures correlate and edges meet at small shifts, where misalignment shows; and how far
the auxiliary image is from clean ones of its sensor, where failures show that nobody trained.

Two checks of the pair are made apart and then multiplied with that: whether the images are aligned, and whether the
auxiliary one's scale is right. A product, because an image has to pass all of them: what one of them finds in order
must not make up for what another one finds amiss.

B batch, C channels, H, W map. Runs in float32 whatever the network's precision is: it is a measurement.
"""
from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from math import expm1, log

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.reliability.alignment_check import AlignmentCheck
from rsgmamba_ros.network.reliability.edge_alignment import EdgeAlignment
from rsgmamba_ros.network.reliability.scale_check import ScaleCheck
from rsgmamba_ros.network.reliability.typicality import Typicality

STATISTICS_CHANNELS = (8, 16, 32)  # of the convolutions on the image
CELLS = 4                          # the image is cut in CELLS x CELLS for local faults
FEATURE_CHANNELS = 16              # each stage's features are projected to, before pooling
CORRELATION_CHANNELS = 8
HIDDEN = 64
TRUSTING_LOGIT = 2.0               # of an untrained head: most images are good
# Logarithm of the odds without evidence, and the weight of the evidence; chosen on training images. The first two are
# where learning begins, the third is for what is published, besides the learned typicality.
ALIGNED_ODDS, ALIGNED_WEIGHT = 3.0, 1.0
SCALE_ODDS, SCALE_WEIGHT = 2.5, 1.3
TYPICAL_ODDS, TYPICAL_WEIGHT = 4.0, 3.0
RGB, AUXILIARY = 0, 1              # typicality is judged of the auxiliary one: RGB has too many kinds of clean
SMALLEST_DOUBT = 1e-6              # of a reliability; its logit is finite
FLOOR = 1e-3                       # keeps logarithms and quotients finite on constant images


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


def pooled_statistics(maps: Tensor) -> Tensor:
    """Mean, and logarithms of the overall, greatest and smallest local deviation; (B, C, H, W) -> (B, 4C)."""
    cells, squares = F.adaptive_avg_pool2d(maps, CELLS), F.adaptive_avg_pool2d(maps * maps, CELLS)
    mean = cells.mean((2, 3))
    local = (squares - cells * cells).clamp_min(0).flatten(2)
    overall = (squares.mean((2, 3)) - mean * mean).clamp_min(0)
    deviations = torch.stack((overall, local.amax(-1), local.amin(-1)), dim=-1)
    return torch.cat((mean, 0.5 * (deviations + FLOOR ** 2).log().flatten(1)), dim=-1)


def _moments(maps: Tensor, axes: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Mean and variance; torch.var_mean is 15 times slower, and of features of order 1 nothing is lost."""
    mean = maps.mean(axes)
    return mean, ((maps * maps).mean(axes) - mean * mean).clamp_min(0)


class ImageStatistics(nn.Module):
    """Statistics of three small strided convolutions on the image."""

    def __init__(self):
        super().__init__()
        channels = (3, *STATISTICS_CHANNELS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in zip(channels, channels[1:]))
        self.size = 4 * sum(STATISTICS_CHANNELS)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), normalised -> (B, size)."""
        maps, statistics = images, []
        for convolution in self.convolutions:
            maps = convolution(maps)
            statistics.append(pooled_statistics(maps))
            maps = F.gelu(maps)
        return torch.cat(statistics, dim=-1)


class FeatureStatistics(nn.Module):
    """Mean and standard deviation over the pixels of each stage's projected features."""

    def __init__(self, dims: tuple[int, ...]):
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(dim, FEATURE_CHANNELS) for dim in dims)
        self.size = 2 * FEATURE_CHANNELS * len(dims)

    def forward(self, features: list[Tensor]) -> Tensor:
        """For each stage (B, H, W, C) -> (B, size)."""
        statistics = []
        for projection, feature in zip(self.projections, features):
            mean, variance = _moments(projection(feature), (1, 2))
            statistics += [mean, (variance + FLOOR ** 2).sqrt()]
        return torch.cat(statistics, dim=-1)


class ShiftedCorrelation(nn.Module):
    """Correlation of two modalities' structure at all shifts up to `radius` pixels, per channel."""

    def __init__(self, dim: int, radius: int):
        super().__init__()
        self.radius = radius
        self.rgb = nn.Linear(dim, CORRELATION_CHANNELS)
        self.auxiliary = nn.Linear(dim, CORRELATION_CHANNELS)
        self.size = CORRELATION_CHANNELS * (2 * radius + 1) ** 2

    def forward(self, rgb: Tensor, auxiliary: Tensor) -> Tensor:
        """(B, H, W, C) twice -> (B, size), each in about [-1, 1]."""
        fixed = self._standardise(self.rgb(rgb))
        moving = F.pad(self._standardise(self.auxiliary(auxiliary)), [self.radius] * 4)
        _, _, height, width = fixed.shape
        shifts = range(2 * self.radius + 1)
        correlations = [(fixed * moving[:, :, dy:dy + height, dx:dx + width]).mean((2, 3))
                        for dy in shifts for dx in shifts]
        return torch.cat(correlations, dim=-1)

    @staticmethod
    def _standardise(maps: Tensor) -> Tensor:
        maps = maps.permute(0, 3, 1, 2).contiguous()
        mean, variance = _moments(maps, (2, 3))
        return (maps - mean[:, :, None, None]) * (variance + FLOOR ** 2).rsqrt()[:, :, None, None]


class Belief(nn.Module):
    """How far the odds that a check gives are believed: the logarithm of the factor for one modality's reliability.

    Args:
        odds: logarithm of the odds without evidence, at first.
        weight: of the evidence, at first.
    """

    def __init__(self, odds: float, weight: float):
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), log(expm1(weight))))  # its softplus
        self.bias = nn.Parameter(torch.full((1,), odds))

    def forward(self, odds: Tensor, trust: Tensor) -> Tensor:
        """Odds and how far the other modality can be trusted, 0..1, (B,) both -> (B,), 0 or less."""
        # What a spoilt image is compared with is no evidence against the other one.
        return trust * F.logsigmoid(self.bias + F.softplus(self.weight) * odds)


class ReliabilityHead(nn.Module):
    """One reliability logit for each modality that is there."""

    def __init__(self, dims: tuple[int, ...], modalities: int, correlation: CorrelationConfig, *,
                 typicality: bool = False, pair_checks: bool = False):
        super().__init__()
        self.images = nn.ModuleList(ImageStatistics() for _ in range(modalities))
        self.features = nn.ModuleList(FeatureStatistics(dims) for _ in range(modalities))
        self.correlated_stages = correlation.stages
        self.correlations = nn.ModuleList(
            ShiftedCorrelation(dims[stage], correlation.radius) for stage in correlation.stages)
        self.edges = EdgeAlignment() if correlation.edges else None
        self.typicality = Typicality() if typicality else None
        self.has_checks = pair_checks and modalities > 1
        self.alignment = AlignmentCheck() if self.has_checks and correlation.edges else None
        self.scale = ScaleCheck(dims[-2:]) if self.has_checks else None
        self.alignment_beliefs = nn.ModuleList(
            Belief(ALIGNED_ODDS, ALIGNED_WEIGHT) for _ in range(modalities if self.alignment else 0))
        self.scale_belief = Belief(SCALE_ODDS, SCALE_WEIGHT) if self.has_checks else None
        alone = self.images[0].size + self.features[0].size
        together = sum(item.size for item in (*self.correlations, self.edges) if item is not None)
        self.alone = nn.ModuleList(nn.Linear(alone, HIDDEN) for _ in range(modalities))
        self.together = nn.ModuleList(nn.Linear(together, HIDDEN) for _ in range(modalities))
        self.output = nn.ModuleList(nn.Linear(HIDDEN, 1) for _ in range(modalities))
        for output in self.output:
            nn.init.constant_(output.bias, TRUSTING_LOGIT)

    def forward(self, images: dict[int, Tensor], features: dict[int, list[Tensor]]) -> dict[int, Tensor]:
        """Judge the available modalities.

        Features enter detached: they are for the labels, and judging them must not bend them.

        Args:
            images: for each available modality (B, 3, H, W), normalised.
            features: for each available modality and stage (B, H_s, W_s, C_s).

        Returns:
            For each available modality (B,), float32: the logit of its reliability.
        """
        device_type = next(iter(images.values())).device.type
        with (torch.autocast(device_type, enabled=False) if torch.amp.is_autocast_available(device_type)
              else nullcontext()):
            features = {modality: [stage.detach().float() for stage in stages] for modality, stages in features.items()}
            images = {modality: image.float() for modality, image in images.items()}
            edges = self.edges(images[RGB], images[AUXILIARY]) if self.edges and len(images) > 1 else None
            compared = self._compare(features, edges)
            logits = {modality: self._logit(modality, image, features[modality], compared)
                      for modality, image in images.items()}
            if self.has_checks and len(images) > 1:
                return self._checked(logits, images, features, edges)
            return logits

    def published(self, images: dict[int, Tensor], logits: dict[int, Tensor]) -> dict[int, Tensor]:
        """The logits to publish: `forward`'s, less where an image is like no clean one.

        The gates do without this: what nobody trained is a reason to warn, and gates that close on it as well give up
        what a spoilt image still shows.
        """
        return {modality: self._less_surprise(logit, images[modality]) if self._judges_typicality(modality) else logit
                for modality, logit in logits.items()}

    def _less_surprise(self, logit: Tensor, image: Tensor) -> Tensor:
        odds = TYPICAL_ODDS - TYPICAL_WEIGHT * self.typicality(image.float())
        return _logit_of(F.logsigmoid(logit) + F.logsigmoid(odds))

    def _judges_typicality(self, modality: int) -> bool:
        return self.typicality is not None and modality == AUXILIARY

    def _logit(self, modality: int, image: Tensor, features: list[Tensor], compared: Tensor | None) -> Tensor:
        alone = torch.cat((self.images[modality](image), self.features[modality](features)), dim=-1)
        hidden = self.alone[modality](alone)
        if compared is not None:
            hidden = hidden + self.together[modality](compared)
        logit = self.output[modality](F.gelu(hidden)).squeeze(-1)
        return logit + self.typicality.learned(image) if self._judges_typicality(modality) else logit

    def _compare(self, features: dict[int, list[Tensor]], edges: Tensor | None) -> Tensor | None:
        if len(features) < 2:
            return None
        evidence = [correlation(features[RGB][stage], features[AUXILIARY][stage])
                    for stage, correlation in zip(self.correlated_stages, self.correlations)]
        return torch.cat(evidence if edges is None else [*evidence, edges], dim=-1)

    def _checked(self, logits: dict[int, Tensor], images: dict[int, Tensor], features: dict[int, list[Tensor]],
                 edges: Tensor | None) -> dict[int, Tensor]:
        """What is left of the reliabilities after the checks of the pair."""
        trust = {modality: torch.sigmoid(logit.detach()) for modality, logit in logits.items()}
        known = {modality: F.logsigmoid(logit) for modality, logit in logits.items()}
        if self.alignment is not None:
            odds = self.alignment(edges)
            known = {modality: value + self.alignment_beliefs[modality](odds, trust[1 - modality])
                     for modality, value in known.items()}
        odds = self.scale(features[RGB][-2:], images[AUXILIARY])
        known[AUXILIARY] = known[AUXILIARY] + self.scale_belief(odds, trust[RGB])
        return {modality: _logit_of(value) for modality, value in known.items()}


def _logit_of(known: Tensor) -> Tensor:
    """Logit of a probability by its logarithm."""
    return known - torch.log(-torch.expm1(known.clamp_max(-SMALLEST_DOUBT)))
