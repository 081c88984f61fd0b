"""The selective scan: its contract, and the choice of a backend.

B batch, D channels, G groups of D / G channels that share B and C, N states, L scan length; `selective_scan_map`:
C channels, R rank, four directions as in `cross_scan`.
"""
from __future__ import annotations

from functools import lru_cache
import logging
from typing import Protocol

import torch
from torch import Tensor

from rsgmamba_ros.ops.cross_scan import cross_merge, cross_scan, DIRECTIONS
from rsgmamba_ros.ops.selective_scan import chunked as selective_scan_chunked
from rsgmamba_ros.ops.selective_scan import cpp as selective_scan_cpp
from rsgmamba_ros.ops.selective_scan import mamba_ssm as selective_scan_mamba_ssm
from rsgmamba_ros.ops.selective_scan import reference as selective_scan_reference
from rsgmamba_ros.ops.selective_scan import triton as selective_scan_triton
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError

logger = logging.getLogger(__name__)


class Backend(Protocol):
    """A module with one way to scan."""

    def unavailable_reason(self, device: torch.device) -> str | None:
        """Why this backend cannot run on the device; None where it can."""

    def selective_scan(self, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                       delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
        """See the function of that name below."""


BACKENDS: dict[str, Backend] = {
    'reference': selective_scan_reference,
    'chunked': selective_scan_chunked,
    'cpp': selective_scan_cpp,
    'mamba_ssm': selective_scan_mamba_ssm,
    'triton': selective_scan_triton,
}
#: What `auto` tries, in this order.
PREFERENCE = ('cpp', 'mamba_ssm', 'triton', 'chunked')


@lru_cache(maxsize=32)
def choose_backend(name: str, device_type: str) -> str:
    """The backend that `name` stands for on a device; `auto` takes the fastest that works and logs why.

    Raises:
        BackendUnavailableError: a backend was asked for by name and is unknown or not available here.
    """
    device = torch.device(device_type)
    if name != 'auto':
        if name not in BACKENDS:
            raise BackendUnavailableError(f'unknown scan backend {name!r}; known: {["auto", *BACKENDS]}')
        reason = BACKENDS[name].unavailable_reason(device)
        if reason:
            raise BackendUnavailableError(f'scan backend {name!r} is not available: {reason}')
        return name
    reasons: list[str] = []
    for candidate in PREFERENCE:
        reason = BACKENDS[candidate].unavailable_reason(device)
        if reason is None:
            logger.info('selective scan on %s: %s%s', device_type, candidate, ''.join(reasons))
            return candidate
        reasons.append(f'; not {candidate}: {reason}')
    raise AssertionError('chunked is available everywhere')


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch states no types for it
def _chosen(name: str, device_type: str) -> str:
    """`choose_backend`, which looks for compilers and packages: nothing that a compiled graph may trace."""
    return choose_backend(name, device_type)


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None, *,
                   delta_bias: Tensor | None = None, delta_softplus: bool = True, backend: str = 'auto') -> Tensor:
    """Scan sequences: `h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t; y_t = C_t h_t + D u_t`, per channel.

    Differentiable in every tensor. The state is float32 whatever the inputs are.

    Args:
        u: (B, D, L), float32 or bfloat16.
        delta: step sizes before bias and softplus, (B, D, L).
        A: (D, N), float32, negative for a state that fades.
        B: (B, G, N, L).
        C: (B, G, N, L).
        D: (D,), float32.
        delta_bias: (D,), float32.
        delta_softplus: whether softplus is applied to delta + bias.
        backend: a key of `BACKENDS`, or `auto`.

    Returns:
        (B, D, L) in the dtype of `u`.

    Raises:
        BackendUnavailableError: see `choose_backend`.
        ValueError: shapes that do not fit.

    Source: the contract of mamba_ssm's `selective_scan_fn` with groups.
    """
    if u.shape != delta.shape or u.shape[1] != A.shape[0] or u.shape[1] % B.shape[1] or B.shape != C.shape:
        raise ValueError(
            f'shapes do not fit: u {tuple(u.shape)}, delta {tuple(delta.shape)}, A {tuple(A.shape)}, '
            f'B {tuple(B.shape)}, C {tuple(C.shape)}; expected (B, D, L) twice, (D, N), (B, G, N, L) twice')
    module = BACKENDS[_chosen(backend, u.device.type)]
    return module.selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)


def selective_scan_map(u: Tensor, projected: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor, *,
                       backend: str = 'auto') -> Tensor:
    """Scan a map in four directions and sum the results: cross-scan, step projection, scan, cross-merge in one.

    Args:
        u: (B, H, W, C), float32 or bfloat16.
        projected: for each pixel and direction the step (R), B (N) and C (N), (B, H, W, 4, R + 2N).
        dt_weight: (4, C, R), float32; delta = softplus(dt_weight @ step + dt_bias).
        dt_bias: (4, C), float32.
        A: (4, C, N), float32.
        D: (4, C), float32.
        backend: a key of `BACKENDS`, or `auto`.

    Returns:
        (B, H, W, C) in the dtype of `u`.

    Raises:
        BackendUnavailableError: see `choose_backend`.
    """
    name = _chosen(backend, u.device.type)
    if name == 'cpp':
        return selective_scan_cpp.selective_scan_map(u, projected, dt_weight, dt_bias, A, D)
    _, height, width, _ = u.shape
    rank, states = dt_weight.shape[2], A.shape[2]
    sequences = cross_scan(u.permute(0, 3, 1, 2))
    step, B, C = torch.split(cross_scan(projected.permute(0, 3, 4, 1, 2)), [rank, states, states], dim=2)
    delta = torch.matmul(dt_weight.to(step.dtype), step)
    scanned = BACKENDS[name].selective_scan(
        sequences.flatten(1, 2), delta.flatten(1, 2), A.flatten(0, 1), B, C, D.flatten(), dt_bias.flatten(), True)
    return cross_merge(torch.unflatten(scanned, 1, (DIRECTIONS, -1)), height, width).permute(0, 2, 3, 1)
