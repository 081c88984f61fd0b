"""A reliability head that takes a sensor profile, of plain arithmetic: brightness and depth against the profile's."""
from __future__ import annotations

import torch
from torch import Tensor

from rsgmamba_ros.network.checkpoint import Checkpoint
from rsgmamba_ros.network.reliability.contract import ReliabilityEstimator
from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import SensorProfile

FIGURES = 4


class ProfiledHead(ReliabilityEstimator):
    """Mean and deviation of each image are its figures; reliability falls with the distance from the profile."""

    def __init__(self, axis: tuple[Modality, Modality]):
        super().__init__()
        self.axis = axis
        self.profile: SensorProfile | None = None
        self.expected: Tensor
        self.scale: Tensor
        self.register_buffer('expected', torch.zeros(FIGURES), persistent=False)
        self.register_buffer('scale', torch.zeros(1), persistent=False)

    def figures(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> Tensor:
        assert all(len(features[modality]) == 4 for modality in self.axis)
        both = [torch.stack((images[m].mean((1, 2, 3)), images[m].std((1, 2, 3))), -1) for m in self.axis]
        return torch.cat(both, -1)

    def set_profile(self, profile: SensorProfile | None) -> None:
        if profile is not None and (profile.auxiliary is not self.axis[1] or profile.mean.shape != (FIGURES,)):
            raise ProfileError(f'the profile is of {profile.auxiliary} and has {profile.mean.size} figures; expected '
                               f'{self.axis[1]} and {FIGURES}')
        self.profile = profile
        self.scale.fill_(0 if profile is None else 5)
        self.expected.copy_(torch.zeros(FIGURES) if profile is None else torch.from_numpy(profile.mean))

    def forward(self, images: dict[Modality, Tensor], features: dict[Modality, list[Tensor]]) -> dict[Modality, Tensor]:
        logits = {}
        for index, modality in enumerate(self.axis):
            if modality in images:
                own = self.expected[2 * index:2 * index + 1]
                logits[modality] = 2 - self.scale * (images[modality].mean((1, 2, 3)) - own).abs()
        return logits


def with_profiled_head(checkpoint: Checkpoint) -> Checkpoint:
    """Replace the head of a checkpoint's network, in place."""
    checkpoint.network.reliability_head = ProfiledHead(checkpoint.network.axis)
    return checkpoint
