"""How a network can fuse its modalities: one key, one class."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rsgmamba_ros.network.fusion.baselines import CrossScan, SumFusion
from rsgmamba_ros.network.fusion.contract import Fusion, FusionConfig
from rsgmamba_ros.network.fusion.reliable_cross_scan import CROSS_SCAN_WIDTH, ReliableCrossScan
from rsgmamba_ros.network.fusion.rsgmb import RSGMB
from rsgmamba_ros.vocabulary.images import Modality, modality_axis


@dataclass(frozen=True)
class FusionKind:
    """How a network fuses.

    Attributes:
        build: makes one stage's fusion of (channels, modalities, size).
        uses_rgb: whether the network looks at RGB images.
        uses_auxiliary: whether it looks at auxiliary images.
        gated: whether the network estimates reliability.
        gate_names: beginnings of the names of those parameters that can be trained after all others; until then the
            fusion works without them.
        width: factor of the inner channels, by which a baseline gets as many parameters as the package's own fusions
            have without or with their reliability head, within 3 %, at the presets `nano` and `lite`.
    """

    build: Callable[[int, tuple[Modality, ...], FusionConfig], Fusion]
    uses_rgb: bool = True
    uses_auxiliary: bool = True
    gated: bool = False
    gate_names: tuple[str, ...] = ()
    width: float = 1.0

    def modalities(self, auxiliary: Modality) -> tuple[Modality, ...]:
        """The modalities that a network for `auxiliary` looks at, in the order of the batch."""
        used = (self.uses_rgb, self.uses_auxiliary)
        return tuple(modality for modality, is_used in zip(modality_axis(auxiliary), used) if is_used)

    def stage(self, dim: int, auxiliary: Modality, config: FusionConfig) -> Fusion:
        """One stage's fusion of `dim` channels."""
        return self.build(dim, self.modalities(auxiliary), replace(config, ratio=config.ratio * self.width))


FUSIONS: dict[str, FusionKind] = {
    'rsgmb_lcgm': FusionKind(RSGMB, gated=True),
    'reliable_cross_scan': FusionKind(ReliableCrossScan, gated=True, gate_names=ReliableCrossScan.gate_names),
    'sum': FusionKind(SumFusion, width=1.75),
    'cross_scan': FusionKind(CrossScan, width=CROSS_SCAN_WIDTH),
    'rgb_only': FusionKind(SumFusion, uses_auxiliary=False, width=3.5),
    'x_only': FusionKind(SumFusion, uses_rgb=False, width=3.5),
}
