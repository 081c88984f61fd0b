"""A batch split by which modalities each item has, and put together again.

B batch, b items of one availability case, M = 2 modalities.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rsgmamba_ros.vocabulary.images import Modality


@dataclass(frozen=True)
class AvailabilityCase:
    """The batch items that have the same modalities.

    Attributes:
        items: their indices in the batch.
        modalities: what they have and the network uses, in the order of the batch.
    """

    items: tuple[int, ...]
    modalities: tuple[Modality, ...]


def availability_cases(available: Tensor, axis: Sequence[Modality],
                       used: Sequence[Modality]) -> list[AvailabilityCase]:
    """Split a batch.

    Args:
        available: (B, M), bool.
        axis: the modalities along M.
        used: those that the network uses.

    Returns:
        The cases; each batch item is in one of them.

    Raises:
        ValueError: a batch item has no available modality that the network uses.
    """
    items: dict[tuple[Modality, ...], list[int]] = {}
    for item, flags in enumerate(available.tolist()):
        present = tuple(modality for modality, flag in zip(axis, flags) if flag and modality in used)
        items.setdefault(present, []).append(item)
    if () in items:
        raise ValueError(f'batch items {items[()]} have no available modality that the network uses '
                         f'({", ".join(map(str, used))}); leave them out')
    return [AvailabilityCase(tuple(indices), modalities) for modalities, indices in items.items()]


def stack_modalities(values: Mapping[Modality, Tensor], axis: Sequence[Modality]) -> Tensor:
    """For each available modality (b, ...) -> (b, M, ...), with 0 for the other modalities."""
    zeros = torch.zeros_like(next(iter(values.values())))
    return torch.stack([values.get(modality, zeros) for modality in axis], dim=1)


def in_batch_order(cases: Sequence[AvailabilityCase], values: Sequence[Tensor]) -> Tensor:
    """For each case (b, ...) -> one tensor for the batch, (B, ...)."""
    if len(cases) == 1:
        return values[0]
    items = torch.tensor([item for case in cases for item in case.items])
    return torch.cat(tuple(values))[torch.argsort(items).to(values[0].device)]
