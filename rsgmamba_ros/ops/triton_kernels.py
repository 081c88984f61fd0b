"""Triton kernels. Importing this file needs triton."""
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _compose(decay_before, drive_before, decay, drive):
    """Two steps `h -> decay h + drive` as one."""
    return decay_before * decay, drive_before * decay + drive


@triton.jit
def scan_kernel(u, delta, A, B, C, D, delta_bias, output, length, channels, groups, states,
                STATES: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr, SOFTPLUS: tl.constexpr):
    """Scan BLOCK channels of one group of one batch item; a row is a pair of channel and state.

    u, delta, output (batch, groups * channels, length); A (groups * channels, states); B, C (batch, groups, states,
    length); D, delta_bias (groups * channels). STATES is `states` rounded up to a power of two.
    """
    batch, group, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row = tl.arange(0, BLOCK * STATES)
    in_group, state = block * BLOCK + row // STATES, row % STATES
    real = (in_group < channels) & (state < states)
    channel = group * channels + in_group
    fade = tl.load(A + channel * states + state, mask=real, other=0.0)
    bias = tl.load(delta_bias + channel, mask=real, other=0.0)
    own = block * BLOCK + tl.arange(0, BLOCK)
    skip = tl.load(D + group * channels + own, mask=own < channels, other=0.0)
    sequence = (batch * groups * channels + channel) * length
    own_sequence = (batch * groups * channels + group * channels + own) * length
    reading = ((batch * groups + group) * states + state) * length
    h = tl.zeros((BLOCK * STATES,), tl.float32)
    for start in range(0, length, STEPS):
        step = start + tl.arange(0, STEPS)
        mask = real[:, None] & (step < length)[None, :]
        value = tl.load(u + sequence[:, None] + step[None, :], mask=mask, other=0.0).to(tl.float32)
        size = tl.load(delta + sequence[:, None] + step[None, :], mask=mask, other=0.0).to(tl.float32) + bias[:, None]
        if SOFTPLUS:
            size = tl.maximum(size, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(size)))
        size = tl.where(mask, size, 0.0)  # a step of size 0 leaves the state as it is
        b = tl.load(B + reading[:, None] + step[None, :], mask=mask, other=0.0).to(tl.float32)
        c = tl.load(C + reading[:, None] + step[None, :], mask=mask, other=0.0).to(tl.float32)
        decay, drive = tl.associative_scan((tl.exp(size * fade[:, None]), size * b * value), 1, _compose)
        all_states = drive + decay * h[:, None]
        h = tl.sum(tl.where(tl.arange(0, STEPS)[None, :] == STEPS - 1, all_states, 0.0), axis=1)
        read = tl.sum(tl.reshape(all_states * c, (BLOCK, STATES, STEPS)), axis=1)
        inside = (own < channels)[:, None] & (step < length)[None, :]
        own_value = tl.load(u + own_sequence[:, None] + step[None, :], mask=inside, other=0.0).to(tl.float32)
        tl.store(output + own_sequence[:, None] + step[None, :], read + skip[:, None] * own_value, mask=inside)
