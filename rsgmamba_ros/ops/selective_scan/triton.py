"""The selective scan in Triton, for GPUs where mamba_ssm's kernel is not installed (Jetson).

Forward and backward are one kernel each. The forward keeps the states before each chunk of the length, from which the
backward scans again. No atomic sums: gradients are the same at every run. `TRITON_INTERPRET=1` checks the arithmetic
of the kernels on a CPU; benchmarks/scan_cuda.py times them.
Shapes as in `rsgmamba_ros.ops.selective_scan.contract`.
"""
from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
import os
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

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
    """See `rsgmamba_ros.ops.selective_scan.contract.selective_scan`."""
    zeros = A.new_zeros(A.shape[0], dtype=torch.float32)
    output: Tensor = torch.ops.rsgmamba.triton_scan(
        u, delta, A.float(), B, C, zeros if D is None else D.float(), zeros if delta_bias is None else
        delta_bias.float(), delta_softplus)[0]
    return output


def _launch(u: Tensor, B: Tensor) -> tuple[tuple[int, int, int], dict[str, int]]:
    """The grid (batch, groups, blocks of channels) and the sizes that both kernels take."""
    (batch, dim, length), (groups, states) = u.shape, B.shape[1:3]
    padded_states = 1 << (states - 1).bit_length()
    block = max(ROWS // padded_states, 1)
    channels = dim // groups
    return (batch, groups, -(-channels // block)), {
        'length': length, 'channels': channels, 'groups': groups, 'states': states, 'STATES': padded_states,
        'BLOCK': block, 'STEPS': CHUNK}


@lru_cache(maxsize=1)
def _kernels() -> ModuleType:
    """The kernels, made on first use: triton need not be installed to import this file."""
    return import_module('rsgmamba_ros.ops.selective_scan.triton_kernels')


def _run_forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor,
                 softplus: bool) -> tuple[Tensor, Tensor]:
    inputs = [tensor.contiguous() for tensor in (u, delta, A, B, C, D, delta_bias)]
    output, starts = _empty_outputs(u, A)
    grid, sizes = _launch(u, B)
    _kernels().scan_kernel[grid](*inputs, output, starts, **sizes, SOFTPLUS=softplus)
    return output, starts


def _empty_outputs(u: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
    """Room for the output and for the states before each chunk, (B, D, N, chunks)."""
    starts = u.new_empty(*u.shape[:2], A.shape[1], (u.shape[2] + CHUNK - 1) // CHUNK, dtype=torch.float32)
    return torch.empty_like(u, memory_format=torch.contiguous_format), starts


_scan = torch.library.custom_op(
    'rsgmamba::triton_scan', _run_forward, mutates_args=(),
    schema='(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, Tensor delta_bias, bool softplus) '
           '-> (Tensor, Tensor)')


@_scan.register_fake
def _(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor,
      softplus: bool) -> tuple[Tensor, Tensor]:
    return _empty_outputs(u, A)


def _run_backward(dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor,
                  starts: Tensor, softplus: bool) -> list[Tensor]:
    inputs = [tensor.contiguous() for tensor in (dy, u, delta, A, B, C, D, delta_bias, starts)]
    du, ddelta = (torch.empty_like(tensor) for tensor in (inputs[1], inputs[2]))
    grid, sizes = _launch(u, B)
    dA = starts.new_empty(u.shape[0], *A.shape)
    dB, dC = starts.new_empty(2, grid[2], *B.shape)
    dD, ddelta_bias = starts.new_empty(2, *u.shape[:2])
    _kernels().scan_backward_kernel[grid](*inputs, du, ddelta, dA, dB, dC, dD, ddelta_bias, **sizes, SOFTPLUS=softplus)
    sums = ((dA, A), (dB, B), (dC, C), (dD, D), (ddelta_bias, delta_bias))
    return [du, ddelta, *(parts.sum(0).to(tensor.dtype) for parts, tensor in sums)]


_scan_backward = torch.library.custom_op(
    'rsgmamba::triton_scan_backward', _run_backward, mutates_args=(),
    schema='(Tensor dy, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, Tensor delta_bias, '
           'Tensor starts, bool softplus) -> Tensor[]')


@_scan_backward.register_fake
def _(dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor,
      starts: Tensor, softplus: bool) -> list[Tensor]:
    return [torch.empty_like(tensor, memory_format=torch.contiguous_format)
            for tensor in (u, delta, A, B, C, D, delta_bias)]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # as torch calls it
    *tensors, ctx.softplus = inputs
    ctx.save_for_backward(*tensors, output[1])


def _differentiate(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # as above
    return *torch.ops.rsgmamba.triton_scan_backward(dy, *ctx.saved_tensors, ctx.softplus), None


_scan.register_autograd(_differentiate, setup_context=_remember)
