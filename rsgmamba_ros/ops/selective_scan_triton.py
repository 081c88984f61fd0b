"""The selective scan in Triton, for GPUs where mamba_ssm's kernel is not installed (Jetson).

The forward is a kernel; the backward differentiates the chunked backend, which gives the same gradients with more
memory. Not measured: no GPU was at hand; `TRITON_INTERPRET=1` checks the kernel's arithmetic on a CPU.
Shapes as in `rsgmamba_ros.ops.selective_scan`.
"""
from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
import os

import torch
from torch import Tensor

from rsgmamba_ros.ops import selective_scan_chunked

CHUNK = 64   # steps that are scanned at once
ROWS = 32    # (channel, state) pairs of a program


def unavailable_reason(device: torch.device) -> str | None:
    """Why this backend cannot run on the device; None where it can."""
    interpreted = os.environ.get('TRITON_INTERPRET') == '1'
    if device.type != 'cuda' and not interpreted:
        return f'it runs on CUDA devices, not on {device.type}'
    if find_spec('triton') is None:
        return 'the package triton is not installed'
    return None


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                   delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """See `rsgmamba_ros.ops.selective_scan.selective_scan`."""
    zeros = A.new_zeros(A.shape[0], dtype=torch.float32)
    return torch.ops.rsgmamba.triton_scan(
        u, delta, A.float(), B, C, zeros if D is None else D.float(), zeros if delta_bias is None else
        delta_bias.float(), delta_softplus)


def _run_forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor,
                 softplus: bool) -> Tensor:
    u, delta, A, B, C = (tensor.contiguous() for tensor in (u, delta, A, B, C))
    (batch, channels, length), (groups, states) = u.shape, B.shape[1:3]
    output = torch.empty_like(u)
    padded_states = 1 << (states - 1).bit_length()
    block = max(ROWS // padded_states, 1)
    grid = (batch, groups, -(-channels // groups // block))
    _kernel()[grid](u, delta, A, B, C, D.contiguous(), delta_bias.contiguous(), output, length, channels // groups,
                    groups, states, STATES=padded_states, BLOCK=block, STEPS=CHUNK, SOFTPLUS=softplus)
    return output


@lru_cache(maxsize=1)
def _kernel():
    """The kernel, made on first use: triton need not be installed to import this file."""
    return import_module('rsgmamba_ros.ops.triton_kernels').scan_kernel


_scan = torch.library.custom_op(
    'rsgmamba::triton_scan', _run_forward, mutates_args=(),
    schema='(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, Tensor delta_bias, bool softplus) '
           '-> Tensor')


@_scan.register_fake
def _(u, delta, A, B, C, D, delta_bias, softplus):
    return torch.empty_like(u, memory_format=torch.contiguous_format)


def _remember(ctx, inputs, output) -> None:
    *tensors, ctx.softplus = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx, dy: Tensor) -> tuple[Tensor | None, ...]:
    with torch.enable_grad():
        tensors = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
        output = selective_scan_chunked.selective_scan(*tensors, ctx.softplus)
        # Of one step, A has no gradient.
        return *torch.autograd.grad(output, tensors, dy, allow_unused=True), None


_scan.register_autograd(_differentiate, setup_context=_remember)
