"""The selective scan as the equation says, one step after the other: the definition for every other backend."""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def unavailable_reason(device: torch.device) -> str | None:
    """Why this backend cannot run on the device; None where it can."""
    return None


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                   delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """See `ops.selective_scan.contract.selective_scan`; float64 stays float64, all else runs in float32."""
    dtype = torch.promote_types(u.dtype, torch.float32)
    inputs = u
    u, delta, A, B, C = (tensor.to(dtype) for tensor in (u, delta, A, B, C))
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    repeats = u.shape[1] // B.shape[1]
    B, C = B.repeat_interleave(repeats, dim=1), C.repeat_interleave(repeats, dim=1)  # (B, D, N, L)
    state = u.new_zeros(u.shape[0], A.shape[0], A.shape[1])
    outputs = []
    for step in range(u.shape[-1]):
        drive = delta[..., step] * u[..., step]
        state = torch.exp(delta[..., step, None] * A) * state + drive[..., None] * B[..., step]
        outputs.append((state * C[..., step]).sum(-1))
    output = torch.stack(outputs, dim=-1)
    if D is not None:
        output = output + D.to(dtype)[:, None] * u
    return output.to(inputs.dtype)
