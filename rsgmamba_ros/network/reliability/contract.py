"""What a reliability estimator takes and gives, and what its checks have in common.

A check is measured on clean images and then looks for one fault: its odds say whether an image is in order. It names
the modalities whose reliability it lowers, and those on whose images its evidence rests: an unreliable image is no
evidence against another one.

N reference images, P reference pairs, B batch, C channels, H, W image, E edge features, see `EdgeAlignment`.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn, Tensor

from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import SensorProfile

#: What an estimator says to a sensor profile if it cannot use one.
NO_PROFILE = "this network's reliability head takes no sensor profile"


@dataclass(frozen=True, eq=False)
class ReferenceImages:
    """Clean images of one sensor, as the checks see them.

    Attributes:
        auxiliary: (N, 1, H, W), normalised.
        rgb_features: of RGB's last two stages, (N, H / 16, W / 16, C') and (N, H / 32, W / 32, C'').
        floor: share of the floor in each cell, (N, H / 16, W / 16), 0..1; None where no floor is labelled.
        log_distance_unit: change of the logarithm of the distance for a change of 1 of a normalised image; None where
            the image does not hold the logarithm of a distance.
        edges: what `EdgeAlignment` gives for pairs, aligned ones and moved ones, (P, E).
        aligned: 1 for an aligned pair, 0 for a moved one, (P,).
    """

    auxiliary: Tensor
    rgb_features: list[Tensor]
    floor: Tensor | None
    log_distance_unit: float | None
    edges: Tensor
    aligned: Tensor


@dataclass(frozen=True, eq=False)
class Observation:
    """Batch items that have the same modalities, as the checks see them.

    Attributes:
        images: for each available modality (B, 3, H, W), normalised, float32.
        features: for each available modality and stage (B, H_s, W_s, C_s), float32.
        edges: what `EdgeAlignment` gives for the pair, (B, E); (B, 0) without a pair, or where no edges are compared.
    """

    images: dict[Modality, Tensor]
    features: dict[Modality, list[Tensor]]
    edges: Tensor


class Fitted(nn.Module):
    """A module that is fitted to reference images rather than trained; `fit` ends by setting `fitted` to 1."""

    fitted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('fitted', torch.zeros(1))

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` was called, and `forget` not since then."""
        return bool(self.fitted)

    @torch.no_grad()
    def forget(self) -> None:
        """Go back to the state before `fit`, as for images of another sensor."""
        self.fitted.zero_()


class Check(Fitted, ABC):
    """One check of an image.

    Args:
        affects: for each modality whose reliability the check lowers, the other modalities on whose images its evidence
            rests; empty where the image itself is all the evidence.
    """

    def __init__(self, affects: Mapping[Modality, tuple[Modality, ...]]):
        super().__init__()
        self.affects = dict(affects)

    @abstractmethod
    def fit(self, reference: ReferenceImages) -> None:
        """Measure what is usual for clean images."""

    @abstractmethod
    def odds(self, observation: Observation) -> Tensor:
        """Logarithm of the odds that the images are in order, (B,); 0 before `fit`: without evidence."""

    def affected(self, available: Sequence[Modality]) -> list[Modality]:
        """Those of the available modalities that the check can say something about."""
        return [modality for modality, evidence in self.affects.items() if {modality, *evidence} <= set(available)]


@dataclass(frozen=True, eq=False)
class ReliabilityEstimate:
    """Logits of the reliability of batch items that have the same modalities.

    Attributes:
        gate_logits: for each available modality (B,), float32: what the fusion is weighted by.
        published_logits: likewise: what the network publishes; in training the same, what the loss is for.
    """

    gate_logits: dict[Modality, Tensor]
    published_logits: dict[Modality, Tensor]


class ReliabilityEstimator(nn.Module, ABC):
    """Estimates the reliability of each available modality.

    Attributes:
        profile: what is normal for this sensor; None for the general prior. Changed by `set_profile`.
    """

    profile: SensorProfile | None = None

    @property
    @abstractmethod
    def checks(self) -> list[Check]:
        """The checks, which are fitted to reference images."""

    @abstractmethod
    def forward(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> ReliabilityEstimate:
        """Estimate.

        Args:
            images: for each available modality (B, 3, H, W), normalised.
            features: for each available modality and stage (B, H_s, W_s, C_s); they get no gradient.

        Returns:
            See `ReliabilityEstimate`.
        """

    @property
    def takes_profile(self) -> bool:
        """Whether the estimator compares with a sensor profile: then it has `figures` and `set_profile` of its own."""
        return type(self).figures is not ReliabilityEstimator.figures

    def figures(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> Tensor:
        """Give the evidence of pairs, from which a sensor profile is made.

        Args:
            images: of both modalities (B, 3, H, W), normalised.
            features: of both modalities and each stage (B, H_s, W_s, C_s).

        Returns:
            (B, F), float32.

        Raises:
            ProfileError: this estimator takes no profile.
        """
        raise ProfileError(NO_PROFILE)

    def set_profile(self, profile: SensorProfile | None) -> None:
        """Compare with a profile from now on; with None, with the general prior.

        Only values of buffers change, in place: recorded graphs of the network stay valid.

        Raises:
            ProfileError: this estimator takes no profile, or the profile's modality or number of figures is another.
        """
        if profile is not None:
            raise ProfileError(NO_PROFILE)
