"""The reliability of each modality, from how far its images depart from what is normal for this sensor. [ours]

A failure is a departure from what a sensor always looks like. The evidence, which is not learned, and the pooled
features of the encoder are compared with what a `SensorProfile` says of this sensor, and with what is normal over many
sensors. A small network, trained on many simulated and real sensors, turns the departures into logits.

B batch, F figures of the evidence, V values, D pooled features, G cells, C channels, H, W map. Runs in float32.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import cast

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.reliability.contract import ReliabilityEstimator
from rsgmamba_ros.network.reliability.precision import in_float32
from rsgmamba_ros.network.reliability.profiled.departures import chunked, compressed, match_of, peaks_of, pooled_cells
from rsgmamba_ros.network.reliability.profiled.evidence import AUXILIARY_EVIDENCE, Evidence, rgb_evidence
from rsgmamba_ros.network.reliability.profiled.normality import Normality
from rsgmamba_ros.network.reliability.profiled.pair_evidence import pair_evidence
from rsgmamba_ros.network.reliability.profiled.signatures import Discriminants, PARTS, Signatures
from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig
from rsgmamba_ros.vocabulary.sensor_profile import SensorProfile

#: Stages of the encoder whose features of RGB are pooled, strides 8 and 16: texture and shape, not yet content. Those
#: of the auxiliary image differ too much between sensors: with them the head was worse on sensors outside its fit.
POOLED_STAGES = (1, 2)
HIDDEN = 64
MEMBERS = 3               # networks a question whose logits are averaged: each errs on other sensors
DROPOUT = 0.3
INITIAL_LOGIT = 2.0       # of an untrained head: most images are good
#: What is asked: is each image as one of its sensor, do the two show the same place, are distances of the right scale?
QUESTIONS = ('rgb', 'auxiliary', 'alignment', 'scale')
#: Questions that members answer. Of the scale nothing is known without a profile: only its signatures tell it.
MEMBERS_ASKED = QUESTIONS[:3]
#: How much a doubt about the pair counts beside one about an image: it is harder to see, and one of two is at fault.
SHARE_OF_PAIR = 0.5
#: How much the members count beside the signatures of a profile; they know failures that have no signature.
SHARE_OF_MEMBERS = 0.5
SMALLEST_DOUBT = 1e-6     # 1 - reliability; its logit is finite


@dataclass(frozen=True)
class Layout:
    """Where the parts of the figures lie: slices of the F figures, by name.

    Attributes:
        sizes: number of figures of each part, in their order.
    """

    sizes: Mapping[str, int]

    @property
    def figures(self) -> int:
        """F."""
        return sum(self.sizes.values())

    def __getitem__(self, name: str) -> slice:
        ends = dict(zip(self.sizes, accumulate(self.sizes.values())))
        return slice(ends[name] - self.sizes[name], ends[name])


class Member(nn.Module):
    """One network from departures to the logit of one question.

    Args:
        inputs: number of departures.
    """

    def __init__(self, inputs: int):
        super().__init__()
        self.dropout = nn.Dropout(DROPOUT)
        self.first = nn.Linear(inputs + 1, HIDDEN)
        self.second = nn.Linear(HIDDEN, HIDDEN // 2)
        self.output = nn.Linear(HIDDEN // 2, 1)
        nn.init.constant_(self.output.bias, INITIAL_LOGIT)

    def forward(self, departures: Tensor, has_profile: Tensor) -> Tensor:
        """Departures, (B, inputs), and whether they are from a profile, (B, 1), 0 or 1 -> the logit, (B,)."""
        hidden = F.gelu(self.first(torch.cat((self.dropout(departures), has_profile), dim=-1)))
        logits: Tensor = self.output(F.gelu(self.second(self.dropout(hidden))))
        return logits.squeeze(-1)


@dataclass(frozen=True, eq=False)
class Expectation:
    """What is expected of the figures of one sensor.

    Attributes:
        mean: (F,).
        variance: (F,).
        discriminants: of its signatures.
    """

    mean: Tensor
    variance: Tensor
    discriminants: Discriminants


class ProfiledHead(ReliabilityEstimator):
    """Reliability logits that a sensor profile sharpens.

    Each question of `QUESTIONS` has members of its own, and an image has to pass all that concern it, so an answer that
    all is well cannot make up for another one that it is not.

    Args:
        dims: channels of the encoder's stages.
        axis: RGB, then the auxiliary modality.
        log_range: see `depth_channels`.
    """

    level_slope: Tensor

    def __init__(self, dims: tuple[int, ...], axis: tuple[Modality, Modality], log_range: float):
        super().__init__()
        self.axis, self.log_range = axis, log_range
        self.profile: SensorProfile | None = None
        pooled = 2 * sum(dims[stage] for stage in POOLED_STAGES)
        with torch.no_grad():
            rgb, auxiliary, pair = self._sizes()
        self.layout = Layout({
            'rgb': rgb[0], 'auxiliary': auxiliary[0], 'pair': pair[0], 'peaks': 12, 'level': 1, 'rgb_pooled': pooled,
            'rgb_cells': rgb[1], 'auxiliary_cells': auxiliary[1], 'landscapes': pair[1]})
        self.cell_figures = {'rgb': rgb[2], 'auxiliary': auxiliary[2]}
        self.normality = Normality(self.layout.figures)
        self.register_buffer('level_slope', torch.zeros(pooled))  # of the mean distance on RGB's pooled features
        self.signatures = Signatures(self.layout.figures, {
            question: [column for part in parts for column in range(self.layout.figures)[self.layout[part]]]
            for question, parts in PARTS.items()}, axis[1])
        with torch.no_grad():
            blank = self.departures(torch.zeros(1, self.layout.figures), MEMBERS_ASKED, *self.normality.prior)
        self.members = nn.ModuleDict({question: nn.ModuleList(Member(blank[question].shape[1]) for _ in range(MEMBERS))
                                      for question in MEMBERS_ASKED})

    def _sizes(self) -> tuple[tuple[int, int, int], ...]:
        """Of RGB, auxiliary and pair: the number of values, of figures of the cells, and of figures a cell."""
        blank = torch.zeros(1, 3, 64, 64)
        found = (rgb_evidence(blank), self._auxiliary_evidence(blank[:, :1]), pair_evidence(blank, blank[:, :1], 1.0))
        return tuple((item.values.shape[1], item.cells[0].numel(), item.cells.shape[1]) for item in found)

    def _auxiliary_evidence(self, images: Tensor) -> Evidence:
        return AUXILIARY_EVIDENCE[self.axis[1]](images, self.log_range)

    def set_profile(self, profile: SensorProfile | None) -> None:
        """See `ReliabilityEstimator`."""
        if profile is None:
            self.normality.forget()
            self.signatures.forget()
        else:
            if profile.auxiliary is not self.axis[1]:
                raise ProfileError(f'the sensor profile is of RGB and {profile.auxiliary}; this network is for RGB and '
                                   f'{self.axis[1]}')
            if len(profile.mean) != self.layout.figures:
                raise ProfileError(f'the sensor profile has {len(profile.mean)} figures, this network expects '
                                   f'{self.layout.figures}: it was made with another network. Make it again with '
                                   '`rsgmamba profile`')
            device = self.normality.mean.device
            mean = torch.from_numpy(profile.mean).to(device)
            self.normality.learn(mean, torch.from_numpy(profile.deviation).to(device), profile.images)
            self.signatures.learn(mean, profile.signatures)
        self.profile = profile

    def forward(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> dict[Modality, Tensor]:
        """See `ReliabilityEstimator`."""
        with in_float32(next(iter(images.values())).device.type):
            return self.logits(self.figures(images, features), tuple(images))

    def figures(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> Tensor:
        """See `ReliabilityEstimator`; the figures of a modality that is not available, and of the pair, are 0."""
        rgb_modality, auxiliary_modality = self.axis
        first = next(iter(images.values()))
        parts = {name: first.new_zeros(len(first), size, dtype=torch.float32)
                 for name, size in self.layout.sizes.items()}
        if rgb_modality in images:
            rgb = _unit_rgb(images[rgb_modality].float())
            own = rgb_evidence(rgb)
            parts |= {'rgb': own.values, 'rgb_cells': own.cells.flatten(1),
                      'rgb_pooled': _pooled(features[rgb_modality])}
        if auxiliary_modality in images:
            auxiliary = images[auxiliary_modality][:, :1].float()
            other = self._auxiliary_evidence(auxiliary)
            parts |= {'auxiliary': other.values, 'auxiliary_cells': other.cells.flatten(1)}
        if len(images) > 1:
            both = pair_evidence(rgb, auxiliary, self.log_range)
            level = other.level - parts['rgb_pooled'] @ self.level_slope
            parts |= {'pair': both.values, 'peaks': peaks_of(both.cells), 'level': level[:, None],
                      'landscapes': both.cells.flatten(1)}
        return torch.cat([parts[name] for name in self.layout.sizes], dim=-1)

    def logits(self, figures: Tensor, available: tuple[Modality, ...],
               expected: Expectation | None = None) -> dict[Modality, Tensor]:
        """Give the logits of the reliability.

        Args:
            figures: (B, F).
            available: modalities.
            expected: of this sensor; by default what the profile says, if there is one.

        Returns:
            For each available modality (B,).
        """
        questions = [name for name, modality in zip(QUESTIONS, self.axis) if modality in available]
        if len(available) > 1:
            questions += QUESTIONS[len(self.axis):]
        is_profiled = expected is not None or self.profile is not None
        expected = expected or Expectation(self.normality.expected, self.normality.variance,
                                           self.signatures.discriminants)
        asked = [question for question in questions if question in self.members]
        answers = self.answers(self.departures(figures, asked, expected.mean, expected.variance),
                               torch.full_like(figures[:, :1], float(is_profiled)))
        if not is_profiled:
            return self.combined(answers)
        return self.combined(answers, {question: self.signatures(figures, question, expected.discriminants)
                                       for question in questions if self.signatures.of(question)})

    def answers(self, departures: Mapping[str, Tensor], has_profile: Tensor) -> dict[str, Tensor]:
        """Departures, see there, and whether they are from a profile, (B, 1) -> for each question the logit, (B,)."""
        return {question: torch.stack([member(values, has_profile) for member in self.members_of(question)]).mean(0)
                for question, values in departures.items()}

    def members_of(self, question: str) -> list[Member]:
        """The networks that answer a question; their logits are averaged."""
        return [cast(Member, member) for member in cast(nn.ModuleList, self.members[question])]

    def combined(self, answers: Mapping[str, Tensor], shown: Mapping[str, Tensor] | None = None
                 ) -> dict[Modality, Tensor]:
        """For each modality whose image was asked about the logit of its reliability, (B,).

        Args:
            answers: of the members, by question, (B,) each.
            shown: what `Signatures` says, by question, (B,) each; None without a profile.
        """
        shown = shown or {}
        share = SHARE_OF_MEMBERS if shown else 1.0
        looks = {modality: share * F.logsigmoid(answers[name]) + (F.logsigmoid(shown[name]) if name in shown else 0.0)
                 for name, modality in zip(QUESTIONS, self.axis) if name in answers}
        logs = dict(looks)
        if len(looks) > 1:
            rgb, auxiliary = self.axis
            # An unreliable image is no evidence against the one that it is compared with.
            alignment = F.logsigmoid(shown.get('alignment', answers['alignment']))
            for modality, other in ((rgb, auxiliary), (auxiliary, rgb)):
                logs[modality] = logs[modality] + SHARE_OF_PAIR * looks[other].exp() * alignment
            if 'scale' in shown:
                logs[auxiliary] = logs[auxiliary] + SHARE_OF_PAIR * looks[rgb].exp() * F.logsigmoid(shown['scale'])
        return {modality: value - torch.log(-torch.expm1(value.clamp_max(-SMALLEST_DOUBT)))
                for modality, value in logs.items()}

    def departures(self, figures: Tensor, questions: Sequence[str],
                   mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
        """What the members see: how far the figures lie from what is expected and from what is normal over sensors.

        Args:
            figures: (B, F).
            questions: some of `MEMBERS_ASKED`.
            mean: expected of each figure, (F,).
            variance: likewise.

        Returns:
            For each question (B, inputs), float32.
        """
        own = (figures - mean) * variance.rsqrt()
        common = self.normality(figures)[1]
        return {question: (self._departures_of_alignment if question == 'alignment' else self._departures_of_look)(
            question, figures, own, common, mean) for question in questions}

    def _departures_of_look(self, question: str, figures: Tensor, own: Tensor, common: Tensor, mean: Tensor) -> Tensor:
        values, parts = self.layout[question], []
        for departures in (own, common):
            signed = compressed(departures[:, values])
            parts += [signed, signed.abs(), chunked(departures[:, values])]
        parts.append(pooled_cells(own[:, self.layout[f'{question}_cells']], self.cell_figures[question]))
        if question == 'rgb':
            parts += [compressed(departures[:, self.layout['rgb_pooled']]) for departures in (own, common)]
        return torch.cat(parts, dim=-1)

    def _departures_of_alignment(self, question: str, figures: Tensor, own: Tensor, common: Tensor,
                                 mean: Tensor) -> Tensor:
        usual = mean[self.layout['landscapes']].expand(len(figures), -1)
        peaks = self.layout['peaks']
        return torch.cat((match_of(figures[:, self.layout['landscapes']], usual), figures[:, peaks],
                          compressed(own[:, peaks]), compressed(common[:, peaks])), dim=-1)


def _unit_rgb(images: Tensor) -> Tensor:
    """Normalised RGB, (B, 3, H, W) -> 0..1."""
    deviation, mean = (images.new_tensor(values)[:, None, None]
                       for values in (PreprocessingConfig.rgb_std, PreprocessingConfig.rgb_mean))
    return images * deviation + mean


def _pooled(features: list[Tensor]) -> Tensor:
    """Mean and maximum over the pixels of some stages, (B, H_s, W_s, C_s) each -> (B, D)."""
    stages = [features[stage].detach().float().flatten(1, 2) for stage in POOLED_STAGES]
    return torch.cat([value for stage in stages for value in (stage.mean(1), stage.amax(1))], dim=-1)
