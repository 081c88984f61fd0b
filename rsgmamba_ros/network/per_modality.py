"""One module of the same class for each modality, looked up by the modality."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast, Generic, TypeVar

from torch import nn

from rsgmamba_ros.vocabulary.images import Modality

Part = TypeVar('Part', bound=nn.Module)


class PerModality(nn.Module, Generic[Part]):
    """One module for each modality.

    A parameter's name contains the modality's index, not its name: weights of a network for depth fit a network for
    thermal.

    Args:
        modalities: in the order of the batch.
        build: makes one module; called once for each modality.
    """

    def __init__(self, modalities: Sequence[Modality], build: Callable[[], Part]):
        super().__init__()
        self.modalities = tuple(modalities)
        for index in range(len(self.modalities)):
            self.add_module(str(index), build())

    def __getitem__(self, modality: Modality) -> Part:
        return cast(Part, self._modules[str(self.modalities.index(modality))])
