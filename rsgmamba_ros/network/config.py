"""The shape of a network: plain values, and the encoders that they may name."""
from __future__ import annotations

from dataclasses import dataclass, field

from rsgmamba_ros.network.encoders import efficientnet_lite as efficientnet
from rsgmamba_ros.network.encoders.contract import Encoder, STRIDES
from rsgmamba_ros.network.encoders.vmamba import VMambaEncoder
from rsgmamba_ros.network.fusion.contract import FusionConfig
from rsgmamba_ros.network.fusion.registry import FUSIONS
from rsgmamba_ros.network.reliability.contract import ReliabilityEstimator
from rsgmamba_ros.network.reliability.head import CorrelationConfig, ReliabilityHead
from rsgmamba_ros.network.reliability.profiled.head import ProfiledHead
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality, modality_axis

#: Largest sizes that a config may ask for.
LARGEST = {'dims': 8192, 'depths': 512, 'states': 256, 'decoder_width': 8192}
LARGEST_RATIO = 64


@dataclass(frozen=True)
class RSGMambaConfig:
    """The shape of a network; plain values, so that it travels as JSON.

    Attributes:
        classes: K.
        auxiliary: what the second image shows.
        fusion: a key of `rsgmamba_ros.network.fusion.registry.FUSIONS`.
        encoder: a key of `ENCODERS`.
        dims: channels of the encoder's stages.
        depths: blocks of the encoder's stages.
        states: N of the scans in encoder and decoder.
        ssm_ratio: scan channels / channels in the encoder.
        mlp_ratio: hidden channels / channels of the encoder's MLPs.
        drop_path: stochastic depth of the encoder's last block; it rises linearly from 0.
        private_norms: whether the encoder efficientnet_lite0 has factors and biases for each modality instead of common
            ones; its weights are common in any case.
        log_range: above 0, auxiliary images enter the encoder efficientnet_lite0 as distance, validity and normals, see
            `network.encoders.depth_channels`: change of the logarithm of the distance for a change of 1 of the
            normalised image. Training sets it from the preprocessing.
        fusion_size: size of each stage's fusion.
        late_fusion: whether predictions from each image of a pair alone are averaged in, weighted by reliability, see
            `network.fusion.late_fusion`; for networks that estimate it.
        profiled: whether a `ProfiledHead`, which a sensor profile sharpens, estimates the reliability instead of a
            `ReliabilityHead`.
        correlation: where a `ReliabilityHead` compares the modalities.
        decoder_width: channels of the decoder.
        decoder_mlp_ratio: hidden channels / channels of the decoder's MLPs.
    """

    classes: int
    auxiliary: Modality = Modality.DEPTH
    fusion: str = 'rsgmb_lcgm'
    encoder: str = 'vmamba'
    dims: tuple[int, ...] = (96, 192, 384, 768)
    depths: tuple[int, ...] = (2, 2, 8, 2)
    states: int = 1
    ssm_ratio: float = 1.0
    mlp_ratio: float = 4.0
    drop_path: float = 0.2
    private_norms: bool = False
    log_range: float = 0.0
    fusion_size: FusionConfig = field(default_factory=FusionConfig)
    late_fusion: bool = False
    profiled: bool = False
    correlation: CorrelationConfig = field(default_factory=CorrelationConfig)
    decoder_width: int = 208
    decoder_mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        if self.auxiliary not in AUXILIARY_MODALITIES:
            raise ConfigError(f'auxiliary modality is {self.auxiliary.value!r}; '
                              f'expected one of {[modality.value for modality in AUXILIARY_MODALITIES]}')
        if self.fusion not in FUSIONS:
            raise ConfigError(f'unknown fusion {self.fusion!r}; known: {sorted(FUSIONS)}')
        if self.encoder not in ENCODERS:
            raise ConfigError(f'unknown encoder {self.encoder!r}; known: {sorted(ENCODERS)}')
        if self.encoder == 'efficientnet_lite0' and tuple(self.dims) != efficientnet.DIMS:
            raise ConfigError(f'the encoder efficientnet_lite0 has the dims {efficientnet.DIMS}, got {self.dims}')
        if self.private_norms and self.encoder != 'efficientnet_lite0':
            raise ConfigError(f'private_norms is for the encoder efficientnet_lite0, not for {self.encoder}')
        if not 1 <= self.classes <= 255:
            raise ConfigError(f'a network has 1 to 255 classes, got {self.classes}')
        if len(self.dims) != len(STRIDES) or len(self.depths) != len(STRIDES):
            raise ConfigError(f'dims and depths have {len(STRIDES)} entries, got {self.dims} and {self.depths}')
        # Far beyond any use: a file must not make the machine build a network for hours.
        sizes = {'dims': max(self.dims), 'depths': sum(self.depths), 'states': self.states,
                 'decoder_width': self.decoder_width}
        small = min(*self.dims, *self.depths, self.states, self.decoder_width)
        if small < 1 or any(size > LARGEST[name] for name, size in sizes.items()):
            raise ConfigError(f'dims {self.dims}, depths {self.depths}, states {self.states} and decoder_width '
                              f'{self.decoder_width} must be at least 1 and at most {LARGEST} (depths in all)')
        for name in ('ssm_ratio', 'mlp_ratio', 'decoder_mlp_ratio'):
            if not 0 < getattr(self, name) <= LARGEST_RATIO:
                raise ConfigError(f'{name} is {getattr(self, name)}; it must be above 0 and at most {LARGEST_RATIO}')
        if not 0 <= self.drop_path < 1 or not 0 <= self.log_range < 100:
            raise ConfigError(f'drop_path is {self.drop_path} and log_range {self.log_range}; they must lie in 0..1 '
                              'and 0..100')


def build_vmamba(config: RSGMambaConfig) -> Encoder:
    """VMamba's encoder; its ImageNet weights fit the preset `base`."""
    return VMambaEncoder(config.dims, config.depths, states=config.states, ratio=config.ssm_ratio,
                         mlp_ratio=config.mlp_ratio, drop_path=config.drop_path)


def build_efficientnet_lite0(config: RSGMambaConfig) -> Encoder:
    """A small convolutional encoder, see `network.encoders.efficientnet_lite`; depths and ratios are not used."""
    # A network of one modality has nothing to share.
    modalities = FUSIONS[config.fusion].modalities(config.auxiliary)
    return efficientnet.EfficientNetLiteEncoder(private=config.private_norms and len(modalities) > 1,
                                                log_range=config.log_range)


def build_reliability_head(config: RSGMambaConfig) -> ReliabilityEstimator:
    """The reliability head of a network whose fusion is weighted by reliability."""
    axis = modality_axis(config.auxiliary)
    if config.profiled:
        return ProfiledHead(config.dims, axis, config.log_range or 1.0)
    return ReliabilityHead(config.dims, axis, config.correlation)


#: Each gives one map a stage at `STRIDES`, channels last and normalised, of the config's dims.
ENCODERS = {'vmamba': build_vmamba, 'efficientnet_lite0': build_efficientnet_lite0}
