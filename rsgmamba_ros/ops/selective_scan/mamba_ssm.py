"""The selective scan by mamba_ssm's CUDA kernel `selective_scan_cuda`, imported without the rest of mamba_ssm.

It comes with `MAMBA_KEEP_CUDA_BUILD=TRUE pip install --no-build-isolation --no-deps mamba-ssm` on a machine with CUDA.
Timed by benchmarks/scan_cuda.py. Shapes as in `rsgmamba_ros.ops.selective_scan.contract`.
"""
from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

CHUNK = 2048  # steps between the states that the kernel keeps for its backward


def unavailable_reason(device: torch.device) -> str | None:
    """Why this backend cannot run on the device; None where it can."""
    if device.type != 'cuda':
        return f'it runs on CUDA devices, not on {device.type}'
    if find_spec('selective_scan_cuda') is None:
        return 'the module selective_scan_cuda is not installed (see mamba-ssm with MAMBA_KEEP_CUDA_BUILD=TRUE)'
    return None


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                   delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """See `rsgmamba_ros.ops.selective_scan.contract.selective_scan`."""
    delta, B, C = (tensor.to(u.dtype) for tensor in (delta, B, C))  # the kernel wants one dtype
    D, delta_bias = (None if tensor is None else tensor.float() for tensor in (D, delta_bias))
    output: Tensor = torch.ops.rsgmamba.mamba_ssm_scan(u, delta, A.float(), B, C, D, delta_bias, delta_softplus)[0]
    return output


def _run_forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                 delta_bias: Tensor | None, softplus: bool) -> tuple[Tensor, Tensor]:
    kernel = import_module('selective_scan_cuda')
    u, delta, A, B, C = (tensor.contiguous() for tensor in (u, delta, A, B, C))
    output, states, *_ = kernel.fwd(u, delta, A, B, C, D, None, delta_bias, softplus)
    return output, states


_scan = torch.library.custom_op(
    'rsgmamba::mamba_ssm_scan', _run_forward, mutates_args=(), device_types='cuda',
    schema='(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? delta_bias, bool softplus) '
           '-> (Tensor, Tensor)')


@_scan.register_fake
def _(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, delta_bias: Tensor | None,
      softplus: bool) -> tuple[Tensor, Tensor]:
    chunks = (u.shape[2] + CHUNK - 1) // CHUNK
    states = u.new_empty(u.shape[0], u.shape[1], chunks, 2 * A.shape[1], dtype=torch.float32)
    return torch.empty_like(u, memory_format=torch.contiguous_format), states


def _run_backward(dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                  delta_bias: Tensor | None, states: Tensor, softplus: bool) -> list[Tensor]:
    kernel = import_module('selective_scan_cuda')
    dy, u, delta, A, B, C = (tensor.contiguous() for tensor in (dy, u, delta, A, B, C))
    gradients = kernel.bwd(u, delta, A, B, C, D, None, delta_bias, dy, states, None, None, softplus, False)
    return [gradient for gradient in gradients[:7] if gradient is not None]


_scan_backward = torch.library.custom_op(
    'rsgmamba::mamba_ssm_scan_backward', _run_backward, mutates_args=(), device_types='cuda',
    schema='(Tensor dy, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? delta_bias, '
           'Tensor states, bool softplus) -> Tensor[]')


@_scan_backward.register_fake
def _(dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
      delta_bias: Tensor | None, states: Tensor, softplus: bool) -> list[Tensor]:
    like = [tensor for tensor in (u, delta, A, B, C, D, delta_bias) if tensor is not None]
    return [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in like]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # as torch calls it
    *tensors, ctx.softplus = inputs
    ctx.save_for_backward(*tensors, output[1])


def _differentiate(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # as above
    *tensors, states = ctx.saved_tensors
    gradients = iter(torch.ops.rsgmamba.mamba_ssm_scan_backward(dy, *tensors, states, ctx.softplus))
    return *(None if tensor is None else next(gradients).to(tensor.dtype) for tensor in tensors), None


_scan.register_autograd(_differentiate, setup_context=_remember)
