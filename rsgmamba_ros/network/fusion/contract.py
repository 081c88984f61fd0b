"""What every fusion takes and gives: one stage's features of each available modality -> one map.

Maps are channels last: B batch, H, W map, C channels. A modality that is not available has no entry in the
dictionaries: what does not exist cannot leak.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from torch import nn, Tensor

from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

#: A tensor for each available modality.
ByModality = dict[Modality, Tensor]


@dataclass(frozen=True)
class FusionConfig:
    """The size of a stage's fusion; a fusion ignores what it does not have.

    Attributes:
        states: N of the scans.
        ratio: inner channels / channels.
        rank: rank of the cross projection, and of a stand-in.
        gate_reduction: inner channels / hidden channels of a gate of RSGMB.
    """

    states: int = 1
    ratio: float = 1.0
    rank: int = 16
    gate_reduction: int = 4

    def __post_init__(self) -> None:
        sizes = (self.states, self.rank, self.gate_reduction)
        if not (0 < self.ratio <= 64 and all(1 <= size <= 4096 for size in sizes)):
            raise ConfigError(f'fusion_size has states, rank and gate_reduction {sizes} and ratio {self.ratio}; they '
                              'must lie in 1..4096 and 0..64')


@dataclass(frozen=True, eq=False)
class FusedStage:
    """What a fusion gives.

    Attributes:
        features: the fused map, (B, H, W, C).
        gates: for each available modality its own gate g_u, (B, H, W, 1) in [0, 1], float32; empty without gates.
    """

    features: Tensor
    gates: ByModality = field(default_factory=dict)


class Fusion(nn.Module, ABC):
    """One stage's fusion."""

    @abstractmethod
    def forward(self, features: ByModality, reliability_logits: ByModality) -> FusedStage:
        """Fuse one stage.

        Args:
            features: for each available modality (B, H, W, C).
            reliability_logits: for each available modality (B,), float32; empty while the gates are off, which only
                fusions with `FusionKind.gate_names`, and those without gates, can work with.

        Returns:
            See `FusedStage`.
        """

    def open_gates(self) -> None:
        """Set the gates of an untrained network to open; a fusion without gates has nothing to do."""
