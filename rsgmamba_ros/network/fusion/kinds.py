"""How a network fuses its modalities: the package's own way, and the rivals that it is measured against."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from rsgmamba_ros.network.fusion.lcgm import ConcatenationMerge, SumMerge
from rsgmamba_ros.network.fusion.parts import FusionConfig
from rsgmamba_ros.network.fusion.reliable_cross_scan import CROSSED_WIDTH, ReliableCrossScan, UngatedFusion
from rsgmamba_ros.network.fusion.rsgmb import RSGMB


def build_rsgmb(dim: int, modalities: int, config: FusionConfig) -> nn.Module:
    """The network of this package."""
    return ReliableCrossScan(dim, modalities, config) if config.exchange else RSGMB(dim, modalities, config)


def build_sum(dim: int, modalities: int, config: FusionConfig) -> nn.Module:
    """Plain sum; the single-modality networks use it too, with one modality."""
    return UngatedFusion(dim, modalities, config, merge=SumMerge, swap_readings=False)


def build_cross_scan(dim: int, modalities: int, config: FusionConfig) -> nn.Module:
    """Sigma-style cross scan, without gates."""
    return UngatedFusion(dim, modalities, config, merge=ConcatenationMerge, swap_readings=True)


@dataclass(frozen=True)
class FusionKind:
    """How a network fuses.

    Attributes:
        build: makes one stage's fusion.
        modalities: the modalities that it looks at, 0 RGB and 1 auxiliary.
        gated: whether it estimates reliability.
        width: factor of the inner channels by which a rival gets as many parameters as the network has without its
            reliability head, within 3 %, or with it, at the presets `nano` and `lite`.
    """

    build: Callable[[int, int, FusionConfig], nn.Module]
    modalities: tuple[int, ...] = (0, 1)
    gated: bool = False
    width: float = 1.0

    def stage(self, dim: int, size: FusionConfig) -> nn.Module:
        """One stage's fusion of `dim` channels."""
        return self.build(dim, len(self.modalities), replace(size, ratio=size.ratio * self.width))


FUSIONS: dict[str, FusionKind] = {
    'rsgmb': FusionKind(build_rsgmb, gated=True),
    'sum': FusionKind(build_sum, width=1.75),
    'cross_scan': FusionKind(build_cross_scan, width=CROSSED_WIDTH),
    'rgb_only': FusionKind(build_sum, modalities=(0,), width=3.5),
    'x_only': FusionKind(build_sum, modalities=(1,), width=3.5),
}
