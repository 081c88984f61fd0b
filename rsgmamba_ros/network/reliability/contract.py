"""What a reliability estimator takes and gives.

B batch, C channels, H, W image, H_s, W_s a stage's map, F figures of the evidence.
"""
from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn, Tensor

from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import SensorProfile

#: What an estimator says to a sensor profile if it cannot use one.
NO_PROFILE = "this network's reliability head takes no sensor profile"


class ReliabilityEstimator(nn.Module, ABC):
    """Estimates the reliability of each available modality.

    Attributes:
        profile: what is normal for this sensor; None for the general prior. Changed by `set_profile`.
    """

    profile: SensorProfile | None = None

    @abstractmethod
    def forward(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> dict[Modality, Tensor]:
        """Estimate.

        Args:
            images: for each available modality (B, 3, H, W), normalised.
            features: for each available modality and stage (B, H_s, W_s, C_s); they get no gradient.

        Returns:
            For each available modality the logit of its reliability, (B,), float32.
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
