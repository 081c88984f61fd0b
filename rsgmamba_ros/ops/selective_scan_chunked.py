"""The selective scan in chunks of plain torch operators: differentiable, exportable, for any device.

Within a chunk of T steps every state follows from the chunk's first one in closed form:
`h_t = P_t (h_0 + sum_{s<=t} d_s / P_s)`, `P_t = exp(A sum_{r<=t} delta_r)`. The quotient `P_t / P_s` is formed in the
exponent, where it cannot overflow, as a T x T lower triangle.
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
    """See `rsgmamba_ros.ops.selective_scan.selective_scan`; float64 stays float64, all else runs in float32."""
    dtype = torch.promote_types(u.dtype, torch.float32)
    batch, channels, length = u.shape
    groups, states = B.shape[1], B.shape[2]
    inputs, chunks = u, -(-length // CHUNK)
    u, delta, A, B, C = (tensor.to(dtype) for tensor in (u, delta, A, B, C))
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    # A step of size 0 leaves the state as it is, so padding at the end changes nothing.
    padding = (0, chunks * CHUNK - length)
    shape = (batch, groups, channels // groups)
    steps = F.pad(delta, padding).view(*shape, chunks, CHUNK)
    drive = F.pad(delta * u, padding).view(*shape, chunks, CHUNK)
    B, C = (F.pad(tensor, padding).view(batch, groups, states, chunks, CHUNK) for tensor in (B, C))
    output = sum(
        _scan_one_state(steps, drive, A[:, n].view(groups, -1, 1, 1), B[:, :, None, n], C[:, :, None, n])
        for n in range(states))
    output = output.flatten(-2)[..., :length].flatten(1, 2)
    if D is not None:
        output = output + D.to(dtype)[:, None] * u
    return output.to(inputs.dtype)


def _scan_one_state(steps: Tensor, drive: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    # steps, drive (B, G, D, chunks, T); A (G, D, 1, 1); B, C (B, G, 1, chunks, T) -> (B, G, D, chunks, T)
    elapsed = (steps * A).cumsum(-1)
    lower = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=steps.device).tril()
    decay = (elapsed.unsqueeze(-1) - elapsed.unsqueeze(-2)).masked_fill(~lower, -torch.inf).exp()
    local = (decay @ (drive * B).unsqueeze(-1)).squeeze(-1)
    fade = elapsed.exp()
    state, entering = local.new_zeros(local.shape[:-2]), []
    for chunk in range(local.shape[-2]):
        entering.append(state)
        state = fade[..., chunk, -1] * state + local[..., chunk, -1]
    return (local + fade * torch.stack(entering, -1).unsqueeze(-1)) * C
