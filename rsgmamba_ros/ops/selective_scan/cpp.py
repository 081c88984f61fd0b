"""The selective scan compiled for this CPU: parallel, vectorised, forward and backward, channels last.

Shapes as in `ops/cpu/selective_scan.hpp`: B batch, K directions, L scan length, C channels of one direction, N states,
R rank.
"""
from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rsgmamba_ros.ops.cpu.library import cpu_library, cpu_library_problem

DTYPES = (torch.float32, torch.bfloat16)
TILE = 32  # kTile of the header


def unavailable_reason(device: torch.device) -> str | None:
    """Why this backend cannot run on the device; None where it can. The first call may compile."""
    return cpu_library_problem() if device.type == 'cpu' else f'it runs on CPUs, not on {device.type}'


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                   delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """See `contract.selective_scan`, shapes too. Transposes to channels last and back."""
    groups, channels = B.shape[1], u.shape[1] // B.shape[1]
    order = torch.arange(u.shape[-1], dtype=torch.int32).expand(groups, -1).contiguous()
    projected = torch.cat((B, C), dim=2).permute(0, 3, 1, 2)
    zeros = u.new_zeros(groups, channels, dtype=torch.float32)
    output: Tensor = torch.ops.rsgmamba.scan(
        u.transpose(1, 2), delta.to(u.dtype).transpose(1, 2), projected,
        u.new_zeros(groups, channels, 0, dtype=torch.float32),
        zeros if delta_bias is None else delta_bias.float().view(groups, channels),
        A.float().view(groups, channels, -1), zeros if D is None else D.float().view(groups, channels),
        order, delta_softplus, _needs_gradient(u, delta, A, B, C, D, delta_bias))[0]
    return output.transpose(1, 2)


def selective_scan_map(u: Tensor, projected: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                       D: Tensor) -> Tensor:
    """See `contract.selective_scan_map`, shapes too. Nothing is transposed or unrolled."""
    batch, height, width, channels = u.shape
    keep = _needs_gradient(u, projected, dt_weight, dt_bias, A, D)
    order = _visits(height, width) if torch.compiler.is_compiling() else map_order(height, width)
    arguments = (u.view(batch, -1, channels), None, projected.view(batch, height * width, *projected.shape[3:]),
                 dt_weight.float(), dt_bias.float(), A.float(), D.float(), order, True, keep)
    if keep or torch.compiler.is_compiling():
        output: Tensor = torch.ops.rsgmamba.scan(*arguments)[0]
        return output.view(u.shape)
    return _run_forward(*arguments)[0].view(u.shape)  # spares the dispatcher's 50 us


@lru_cache(maxsize=64)
def map_order(height: int, width: int) -> Tensor:
    """The pixel that each direction visits at each step, (4, height * width), int32; see `cross_scan`."""
    with torch.inference_mode(False):  # training may meet the cached tensor later
        return _visits(height, width)


def _visits(height: int, width: int) -> Tensor:
    """See `map_order`."""
    rows = torch.arange(height * width, dtype=torch.int32).view(height, width)
    columns = rows.t().flatten()
    return torch.stack((rows.flatten(), columns, rows.flatten().flip(0), columns.flip(0)))


def _needs_gradient(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def _sizes(u: Tensor, delta: Tensor | None, dt_weight: Tensor, A: Tensor, softplus: bool) -> list[int]:
    """struct Sizes of the kernels; shapes as in `_run_forward`."""
    directions, channels, rank = dt_weight.shape
    return [u.shape[0], directions, u.shape[1], channels, A.shape[2], rank, int(delta is None), int(softplus)]


def _run_forward(u: Tensor, delta: Tensor | None, projected: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                 D: Tensor, order: Tensor, softplus: bool, keep: bool) -> tuple[Tensor, Tensor]:
    """Scan, and keep the states before each tile for the backward if asked to.

    Args:
        u: (B, L, C) or, with a `delta`, (B, L, K * C).
        delta: step sizes, (B, L, K * C); None to make them of the projected step.
        projected: (B, L, K, R + 2N).
        dt_weight: (K, C, R).
        dt_bias: (K, C).
        A: (K, C, N).
        D: (K, C).
        order: the pixel that each direction visits at each step, (K, L) int32.

    Returns:
        Output, shape of `u`, and states, (B, K, tiles, N, C); no tiles if they are not kept.
    """
    if u.dtype not in DTYPES:
        raise ValueError(f'the compiled CPU scan takes float32 or bfloat16, got {u.dtype}')
    u, projected = u.contiguous(), projected.float().contiguous()
    delta = None if delta is None else delta.contiguous()
    weights = [tensor.contiguous() for tensor in (dt_weight, dt_bias, A, D, order)]
    output, states = _empty_results(u, delta, dt_weight, A, keep)
    cpu_library().selective_scan_forward(
        (ctypes.c_int64 * 8)(*_sizes(u, delta, dt_weight, A, softplus)), int(u.dtype == torch.bfloat16), u.data_ptr(),
        None if delta is None else delta.data_ptr(), projected.data_ptr(), *(tensor.data_ptr() for tensor in weights),
        output.data_ptr(), states.data_ptr() if keep else None, torch.get_num_threads())
    return output, states


def _empty_results(u: Tensor, delta: Tensor | None, dt_weight: Tensor, A: Tensor,
                   keep: bool) -> tuple[Tensor, Tensor]:
    """Room for the results of `_run_forward`; shapes as there."""
    directions, channels, states = A.shape
    tiles = (u.shape[1] + TILE - 1) // TILE if keep else 0
    return torch.empty_like(u, memory_format=torch.contiguous_format), u.new_empty(
        u.shape[0], directions, tiles, states, channels, dtype=torch.float32)


_scan = torch.library.custom_op(
    'rsgmamba::scan', _run_forward, mutates_args=(), device_types='cpu',
    schema='(Tensor u, Tensor? delta, Tensor projected, Tensor dt_weight, Tensor dt_bias, Tensor A, Tensor D, '
           'Tensor order, bool softplus, bool keep) -> (Tensor, Tensor)')


@_scan.register_fake
def _(u: Tensor, delta: Tensor | None, projected: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor,
      order: Tensor, softplus: bool, keep: bool) -> tuple[Tensor, Tensor]:
    return _empty_results(u, delta, dt_weight, A, keep)


def _run_backward(dy: Tensor, u: Tensor, delta: Tensor | None, projected: Tensor, dt_weight: Tensor, dt_bias: Tensor,
                  A: Tensor, D: Tensor, order: Tensor, states: Tensor, softplus: bool) -> tuple[Tensor, ...]:
    """Gradients of u, delta, projected, dt_weight, dt_bias, A and D, float32, each of its tensor's shape.

    Args:
        dy: gradient of the output, shape of `u`; the others as `_run_forward` took and gave them.
    """
    u, projected, dy = (tensor.float().contiguous() for tensor in (u, projected, dy))
    delta = None if delta is None else delta.float().contiguous()
    weights = [tensor.contiguous() for tensor in (dt_weight, dt_bias, A, D, order)]
    gradients = _empty_gradients(u, delta, projected, dt_weight, A)
    gradients[0].zero_()
    cpu_library().selective_scan_backward(
        (ctypes.c_int64 * 8)(*_sizes(u, delta, dt_weight, A, softplus)), u.data_ptr(),
        None if delta is None else delta.data_ptr(), projected.data_ptr(), *(tensor.data_ptr() for tensor in weights),
        dy.data_ptr(), states.data_ptr(), *(tensor.data_ptr() for tensor in gradients), torch.get_num_threads())
    return gradients


def _empty_gradients(u: Tensor, delta: Tensor | None, projected: Tensor, dt_weight: Tensor,
                     A: Tensor) -> tuple[Tensor, ...]:
    """Room for the gradients of `_run_backward`, each of its tensor's shape."""
    directions, channels, states = A.shape
    shapes = (u.shape, (0,) if delta is None else delta.shape, projected.shape, dt_weight.shape,
              (directions, channels), (directions, channels, states), (directions, channels))
    return tuple(u.new_empty(shape, dtype=torch.float32) for shape in shapes)


_scan_backward = torch.library.custom_op(
    'rsgmamba::scan_backward', _run_backward, mutates_args=(), device_types='cpu',
    schema='(Tensor dy, Tensor u, Tensor? delta, Tensor projected, Tensor dt_weight, Tensor dt_bias, Tensor A, '
           'Tensor D, Tensor order, Tensor states, bool softplus) '
           '-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)')


@_scan_backward.register_fake
def _(dy: Tensor, u: Tensor, delta: Tensor | None, projected: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
      D: Tensor, order: Tensor, states: Tensor, softplus: bool) -> tuple[Tensor, ...]:
    return _empty_gradients(u, delta, projected, dt_weight, A)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # as torch calls it
    u, delta, projected, dt_weight, dt_bias, A, D, order, softplus, keep = inputs
    if not keep:
        raise RuntimeError('the scan ran without keeping its states, so it has no backward')
    ctx.softplus = softplus
    ctx.save_for_backward(u, delta, projected, dt_weight, dt_bias, A, D, order, output[1])


def _differentiate(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # as above
    u, delta, projected, dt_weight, dt_bias, A, D, order, states = ctx.saved_tensors
    du, ddelta, dprojected, *rest = torch.ops.rsgmamba.scan_backward(
        dy, u, delta, projected, dt_weight, dt_bias, A, D, order, states, ctx.softplus)
    return (du.to(u.dtype), None if delta is None else ddelta.to(delta.dtype), dprojected.to(projected.dtype), *rest,
            None, None, None)


_scan.register_autograd(_differentiate, setup_context=_remember)
