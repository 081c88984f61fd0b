"""What each failure does to the figures of a sensor, and how much of that an image shows. [ours]

A failure changes the evidence of one camera in another way than that of the next one: new holes show clearly where
there are none, and hardly where half of the pixels are missing. So a profile holds the change that each failure makes
on healthy images of this sensor, its signature. Fisher's linear discriminant says how much of it an image shows: the
direction of the change, less the directions in which healthy images of one sensor differ anyway. That variation is
pooled over many sensors. Figures that vary together explain each other, such as the distance and what RGB shows of the
room.

B batch, F figures, N signatures, R directions of variation.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn, Tensor

from rsgmamba_ros.network.reliability.profiled.departures import compressed
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import Signature

TOO_LONG, TOO_SHORT = 'depth/scale_error+', 'depth/scale_error-'
_LOOKS = {
    Modality.RGB: ('gaussian', 'shot', 'defocus', 'contrast', 'brightness', 'darkness', 'over_exposure', 'dirt',
                   'covered'),
    Modality.DEPTH: ('axial_noise', 'holes', 'range_cutoff'),
    Modality.THERMAL: ('thermal_noise', 'gain_drift', 'saturation'),
}
#: What each failure concerns: one of the head's questions.
QUESTION_OF_SIGNATURE: dict[str, str] = {
    **{f'{modality}/{family}': 'rgb' if modality is Modality.RGB else 'auxiliary'
       for modality, families in _LOOKS.items() for family in families},
    **{f'{modality}/misalignment': 'alignment' for modality in _LOOKS},
    TOO_LONG: 'scale', TOO_SHORT: 'scale',
}
#: Parts of the figures that a question looks at.
PARTS = {
    'rgb': ('rgb', 'rgb_cells', 'rgb_pooled'),
    'auxiliary': ('auxiliary', 'auxiliary_cells'),
    'alignment': ('pair', 'peaks', 'landscapes'),
    'scale': ('auxiliary', 'auxiliary_cells', 'pair', 'peaks', 'level', 'landscapes', 'rgb_pooled'),
}
#: R: the variation within sensors is kept along so many directions; along all others it is the same.
DIRECTIONS = 192
#: Share of the variation that is the same in all directions.
SHRINKAGE = 0.2
#: The usual signature counts as so many images of this sensor.
USUAL_IMAGES = 5.0
#: Score of a failure whose signature is not known.
UNKNOWN = -1e4
#: Logit of an image that shows as little of every failure as of none, and how fast it falls with the logarithm of the
#: score; chosen on five sensors of the training.
HEALTHY, SLOPE = 5.0, 1.5
#: No figure has a smaller deviation than this, and than this share of the median of all.
SMALLEST_DEVIATION, SMALLEST_SHARE_OF_MEDIAN = 1e-3, 0.05


@dataclass(frozen=True, eq=False)
class Discriminants:
    """How much of each signature figures show: `figures @ weights.T + offsets`.

    Attributes:
        weights: (N, F).
        offsets: (N,).
    """

    weights: Tensor
    offsets: Tensor


class Signatures(nn.Module):
    """What speaks for the signatures, as logarithms of likelihood ratios.

    Args:
        figures: F.
        columns: indices of the figures of each question.
        auxiliary: modality beside RGB.
    """

    deviation: Tensor
    variation: Tensor
    usual: Tensor
    weights: Tensor
    offsets: Tensor

    def __init__(self, figures: int, columns: Mapping[str, list[int]], auxiliary: Modality):
        super().__init__()
        self.names = tuple(name for name in QUESTION_OF_SIGNATURE
                           if name.split('/')[0] in (str(Modality.RGB), str(auxiliary)))
        self.columns = dict(columns)
        self.register_buffer('deviation', torch.ones(figures))                      # within sensors
        self.register_buffer('variation', torch.zeros(figures, DIRECTIONS))         # in deviations
        self.register_buffer('usual', torch.zeros(len(self.names), figures))        # signatures, in deviations
        self.register_buffer('weights', torch.zeros(len(self.names), figures))
        self.register_buffer('offsets', torch.zeros(len(self.names)))

    def of(self, question: str) -> list[int]:
        """Indices of the signatures that concern a question."""
        return [index for index, name in enumerate(self.names) if QUESTION_OF_SIGNATURE[name] == question]

    @torch.no_grad()
    def set_prior(self, clean: Sequence[Tensor], signatures: Sequence[Mapping[str, Signature]]) -> None:
        """Learn from many sensors how images of one differ, and what each failure usually does.

        Args:
            clean: figures of the clean images of each sensor, (images, F) each.
            signatures: of each sensor.
        """
        apart = torch.cat([figures - figures.mean(0) for figures in clean if len(figures) > 1])
        deviation = apart.std(0, unbiased=False)
        deviation = deviation + SMALLEST_DEVIATION + SMALLEST_SHARE_OF_MEDIAN * deviation.median()
        apart = apart / deviation
        values, vectors = torch.linalg.eigh(apart.T.double() @ apart.double() / len(apart))
        kept = min(DIRECTIONS, len(values))
        self.variation.zero_()
        self.variation[:, :kept] = (vectors[:, -kept:] * (1 - SHRINKAGE) ** 0.5
                                    * values[-kept:].clamp_min(0).sqrt()).float()
        self.deviation.copy_(deviation)
        for index, name in enumerate(self.names):
            changes = [torch.from_numpy(own[name].change) for own in signatures if name in own]
            if changes:
                self.usual[index] = torch.stack(changes).mean(0) / deviation

    @torch.no_grad()
    def precisions(self) -> dict[str, Tensor]:
        """For each question the inverse of the variation within sensors, of its figures in deviations."""
        found = {}
        for question, columns in self.columns.items():
            variation = self.variation[columns].double()
            covariance = variation @ variation.T
            covariance.diagonal().add_(SHRINKAGE)
            found[question] = torch.linalg.inv(covariance).float()
        return found

    @torch.no_grad()
    def fitted(self, mean: Tensor, signatures: Mapping[str, Signature],
               precisions: Mapping[str, Tensor] | None = None) -> Discriminants:
        """Fit the discriminants to one sensor.

        Args:
            mean: of its reference images, (F,).
            signatures: of this sensor, by name; those that are not there are the usual ones.
            precisions: those of this head, where they are at hand; to compute them takes some tenths of a second.
        """
        precisions = precisions or self.precisions()
        weights, offsets = torch.zeros_like(self.weights), torch.zeros_like(self.offsets)
        for question, columns in self.columns.items():
            own = self.of(question)
            if not own:
                continue
            changes = torch.stack([self._change(index, signatures.get(self.names[index])) for index in own])[:, columns]
            directions = changes @ precisions[question]
            for index, direction, change in zip(own, directions, changes):
                weights[index, columns] = direction / self.deviation[columns]
                offsets[index] = -(weights[index, columns] @ mean[columns]) - 0.5 * direction @ change \
                    if change.any() else UNKNOWN
        return Discriminants(weights, offsets)

    def _change(self, index: int, own: Signature | None) -> Tensor:
        """The signature, in deviations, (F,): of this sensor as far as there are images of it."""
        if own is None:
            return self.usual[index]
        change = torch.from_numpy(own.change).to(self.usual.device) / self.deviation
        return (own.images * change + USUAL_IMAGES * self.usual[index]) / (own.images + USUAL_IMAGES)

    @property
    def discriminants(self) -> Discriminants:
        """Those of the profile."""
        return Discriminants(self.weights, self.offsets)

    @torch.no_grad()
    def learn(self, mean: Tensor, signatures: Mapping[str, Signature]) -> None:
        """Compare with one sensor from now on, see `fitted`."""
        found = self.fitted(mean, signatures)
        self.weights.copy_(found.weights)
        self.offsets.copy_(found.offsets)

    @torch.no_grad()
    def forget(self) -> None:
        """Compare with no sensor."""
        self.weights.zero_()
        self.offsets.zero_()

    def forward(self, figures: Tensor, question: str, discriminants: Discriminants) -> Tensor:
        """Figures, (B, F) -> the logit that none of the question's signatures shows, (B,)."""
        own = self.of(question)
        scores = figures @ discriminants.weights[own].T + discriminants.offsets[own]
        return HEALTHY - SLOPE * compressed(torch.logsumexp(scores, dim=-1))
