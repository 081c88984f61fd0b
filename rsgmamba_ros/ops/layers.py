"""Layers whose cost is memory traffic, channels last: a plain torch definition each, and one pass where compiled.

The compiled kernels run in inference on a CPU, for float32 and bfloat16; all else takes the definition.
"""
from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.nn import functional as F

from rsgmamba_ros.ops.cpu.library import cpu_library, cpu_library_problem

COMPILED_DTYPES = (torch.float32, torch.bfloat16)


def layer_norm(features: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Normalise over the channels.

    Args:
        features: (..., C).
        weight: (C,), may have another dtype.
        bias: (C,), likewise.

    Returns:
        (..., C), dtype of the features.
    """
    library = _library(features, weight)
    if library is None:
        return F.layer_norm(features, weight.shape, weight.to(features.dtype), bias.to(features.dtype), epsilon)
    features = features.contiguous()
    output = torch.empty_like(features)
    _call_layer_norm(library, features, None, weight, bias, epsilon, None, output)
    return output


def add_layer_norm(features: Tensor, branch: Tensor, weight: Tensor, bias: Tensor,
                   epsilon: float) -> tuple[Tensor, Tensor]:
    """Add, and normalise the sum over the channels.

    Args:
        features: (..., C).
        branch: (..., C).
        weight: (C,), may have another dtype.
        bias: (C,), likewise.

    Returns:
        `features + branch`, (..., C), and the same normalised, (..., C).
    """
    library = _library(features, weight)
    if library is None or branch.dtype != features.dtype:
        total = features + branch
        return total, layer_norm(total, weight, bias, epsilon)
    features, branch = features.contiguous(), branch.contiguous()
    total, output = torch.empty_like(features), torch.empty_like(features)
    _call_layer_norm(library, features, branch, weight, bias, epsilon, total, output)
    return total, output


def depthwise_silu(features: Tensor, weight: Tensor) -> Tensor:
    """SiLU of a depth-wise 3x3 convolution.

    Args:
        features: (B, H, W, C).
        weight: (C, 1, 3, 3), may have another dtype.

    Returns:
        (B, H, W, C), dtype of the features.
    """
    batch, height, width, channels = features.shape
    library = _library(features, weight)
    # A pixel's channels must lie together and the pixels evenly spaced; a slice of the channels does.
    stride = features.stride(2)
    even = features.stride() == (height * width * stride, width * stride, stride, 1)
    if library is None or not even:
        maps = F.conv2d(features.permute(0, 3, 1, 2), weight.to(features.dtype), padding=1, groups=channels)
        return F.silu(maps).permute(0, 2, 3, 1)
    taps = weight.float().view(channels, 9).t().contiguous()
    output = features.new_empty(features.shape)
    library.depthwise_silu(
        _is_bfloat16(features), features.data_ptr(), stride, taps.data_ptr(), output.data_ptr(), batch, height, width,
        channels, torch.get_num_threads())
    return output


def gelu(features: Tensor) -> Tensor:
    """GELU, in inference possibly in place: the argument must not be used any more.

    Args:
        features: any shape.

    Returns:
        The same shape and dtype.
    """
    library = _library(features, features)
    if library is None or not features.is_contiguous():
        return F.gelu(features)
    library.gelu_in_place(_is_bfloat16(features), features.data_ptr(), features.numel(), torch.get_num_threads())
    return features


def _library(features: Tensor, weight: Tensor) -> ctypes.CDLL | None:
    """The compiled kernels, if they can do it."""
    needs_gradient = torch.is_grad_enabled() and (features.requires_grad or weight.requires_grad)
    if (features.device.type != 'cpu' or features.dtype not in COMPILED_DTYPES or needs_gradient
            or torch.compiler.is_compiling() or cpu_library_problem() is not None):
        return None
    return cpu_library()


def _is_bfloat16(tensor: Tensor) -> int:
    return int(tensor.dtype == torch.bfloat16)


def _call_layer_norm(library: ctypes.CDLL, features: Tensor, branch: Tensor | None, weight: Tensor, bias: Tensor,
                     epsilon: float, total: Tensor | None, output: Tensor) -> None:
    """Write to `total` and `output`, (..., C), as the features and the branch are; weight and bias are (C,)."""
    weight, bias = weight.float(), bias.float()
    channels = weight.numel()
    library.layer_norm(
        _is_bfloat16(features), features.data_ptr(), None if branch is None else branch.data_ptr(), weight.data_ptr(),
        bias.data_ptr(), None if total is None else total.data_ptr(), output.data_ptr(),
        features.numel() // channels, channels, epsilon, torch.get_num_threads())
