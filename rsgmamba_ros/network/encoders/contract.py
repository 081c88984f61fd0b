"""What every encoder takes and gives: images -> four feature maps, channels last."""
from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn, Tensor

from rsgmamba_ros.vocabulary.images import Modality

#: Of the four stages, image pixels.
STRIDES = (4, 8, 16, 32)


class Encoder(nn.Module, ABC):
    """An encoder whose weights all modalities share.

    Attributes:
        has_private_norms: whether each modality has factors and biases of its own.
    """

    has_private_norms = False

    @abstractmethod
    def forward(self, images: Tensor, modality: Modality = Modality.RGB) -> list[Tensor]:
        """Encode.

        Args:
            images: (B, 3, H, W), normalised; H and W multiples of 32.
            modality: what the images show; it matters only with private norms.

        Returns:
            For each stage (B, H / stride, W / stride, C), normalised.
        """
