"""The selective scan in plain torch operators on whole sequences: differentiable, exportable, for any device.

Two steps `h -> a h + b` make one: `(a2 a1, a2 b1 + b2)`. Within a chunk the steps are composed by doubling; the chunks'
totals are a shorter sequence of the same kind, and so on. Products of decays only: nothing can overflow.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 16


def unavailable_reason(device: torch.device) -> str | None:
    """Why this backend cannot run on the device; None where it can."""
    return None


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                   delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """See `ops.selective_scan.contract.selective_scan`; float64 stays float64, all else runs in float32."""
    dtype = torch.promote_types(u.dtype, torch.float32)
    inputs, (groups, states) = u, B.shape[1:3]
    u, delta, A, B, C = (tensor.to(dtype) for tensor in (u, delta, A, B, C))
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    steps, drive = (torch.unflatten(tensor, 1, (groups, -1)) for tensor in (delta, delta * u))  # (B, G, D / G, L)
    output = torch.zeros_like(steps)
    for n in range(states):
        decay = torch.exp(steps * A[:, n].view(groups, -1, 1))
        output = output + _states(decay, drive * B[:, :, None, n]) * C[:, :, None, n]
    output = output.flatten(1, 2)
    if D is not None:
        output = output + D.to(dtype)[:, None] * u
    return output.to(inputs.dtype)


def _states(decay: Tensor, drive: Tensor) -> Tensor:
    """All states of `h_t = decay_t h_{t-1} + drive_t` from 0: decay and drive, (..., L) -> (..., L)."""
    length = decay.shape[-1]
    if length <= CHUNK:
        return _compose(decay, drive)[1]
    chunks = -(-length // CHUNK)
    padding = (0, chunks * CHUNK - length)
    decay, drive = _compose(torch.unflatten(F.pad(decay, padding), -1, (chunks, CHUNK)),
                            torch.unflatten(F.pad(drive, padding), -1, (chunks, CHUNK)))
    entering = F.pad(_states(decay[..., -1], drive[..., -1])[..., :-1], (1, 0))
    return (drive + decay * entering.unsqueeze(-1)).flatten(-2)[..., :length]


def _compose(decay: Tensor, drive: Tensor) -> tuple[Tensor, Tensor]:
    """Each step composed with all before it: decay and drive, (..., T) -> the same of the composed steps, (..., T)."""
    offset, length = 1, decay.shape[-1]
    while offset < length:
        before = F.pad(drive[..., :-offset], (offset, 0))
        drive = drive + decay * before
        decay = decay * F.pad(decay[..., :-offset], (offset, 0), value=1.0)
        offset *= 2
    return decay, drive
