"""The sizes of network that have a name: one table, one constructor."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from rsgmamba_ros.network.config import RSGMambaConfig
from rsgmamba_ros.network.encoders import efficientnet_lite as efficientnet
from rsgmamba_ros.network.fusion.contract import FusionConfig
from rsgmamba_ros.network.reliability.head import CorrelationConfig
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.preprocessing import DepthScaling

#: Strides 4, 8 and 16: shifts of up to 16 image pixels.
CORRELATION = CorrelationConfig(stages=(0, 1, 2), radius=1)

#: Of depth from 0.2 to 12 m, see `RSGMambaConfig.log_range`; a training replaces it by that of its own scaling.
LOG_RANGE = DepthScaling(0.2, 12.0).log_range

#: The class count in here is a placeholder: `create_network` sets it.
PRESETS: dict[str, RSGMambaConfig] = {
    # At most 3M: for a CPU or a small Jetson; 20 bundles/s at 240x320 on two CPU cores.
    'nano': RSGMambaConfig(
        classes=40, dims=(32, 64, 128, 256), depths=(1, 1, 3, 1), mlp_ratio=2.0, drop_path=0.05,
        fusion_size=FusionConfig(states=1, ratio=1.0, rank=8, gate_reduction=4),
        correlation=CORRELATION, decoder_width=64, decoder_mlp_ratio=2.0),
    # 5.0M with EfficientNet-Lite0 as encoder: where there are no VMamba weights, a start from ImageNet all the same.
    'lite': RSGMambaConfig(
        classes=40, encoder='efficientnet_lite0', dims=efficientnet.DIMS, private_norms=True,
        fusion='reliable_cross_scan',
        fusion_size=FusionConfig(states=1, ratio=1.0, rank=8), late_fusion=True,
        log_range=LOG_RANGE, profiled=True, decoder_width=64, decoder_mlp_ratio=2.0),
    # VMamba-T's encoder, so that its ImageNet weights load; 48.6M at 40 classes.
    'base': RSGMambaConfig(
        classes=40, dims=(96, 192, 384, 768), depths=(2, 2, 8, 2), mlp_ratio=4.0, drop_path=0.2,
        fusion_size=FusionConfig(states=4, ratio=1.5, rank=48, gate_reduction=2),
        correlation=CORRELATION, decoder_width=208, decoder_mlp_ratio=4.0),
}


def create_network(preset: str, *, classes: int, **overrides: Any) -> RSGMamba:
    """Build a network, randomly initialised.

    Args:
        preset: a key of `PRESETS`.
        overrides: fields of `RSGMambaConfig` to change, for example `fusion='sum'`.

    Raises:
        ConfigError: the preset or a field is unknown, or a value is not valid.
    """
    if preset not in PRESETS:
        raise ConfigError(f'unknown preset {preset!r}; known: {sorted(PRESETS)}')
    try:
        config = replace(PRESETS[preset], classes=classes, **overrides)
    except TypeError as error:
        raise ConfigError(f'preset {preset!r}: {error}') from error
    return RSGMamba(config)
