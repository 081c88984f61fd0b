"""Triton kernels. Importing this file needs triton."""
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def _compose(decay_before: tl.tensor, drive_before: tl.tensor, decay: tl.tensor,
             drive: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """Two steps `h -> decay h + drive` as one."""
    return decay_before * decay, drive_before * decay + drive


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def _compose_and_lag(decay_before: tl.tensor, drive_before: tl.tensor, lag_decay_before: tl.tensor,
                     lag_drive_before: tl.tensor, decay: tl.tensor, drive: tl.tensor, lag_decay: tl.tensor,
                     lag_drive: tl.tensor) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """`_compose`, and beside it the same steps without the last one; of a single step that is `h -> 1 h + 0`."""
    return (decay_before * decay, drive_before * decay + drive,
            decay_before * lag_decay, drive_before * lag_decay + lag_drive)


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def _softplus(size: tl.tensor) -> tl.tensor:
    return tl.maximum(size, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(size)))


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def scan_kernel(u: tl.tensor, delta: tl.tensor, A: tl.tensor, B: tl.tensor, C: tl.tensor, D: tl.tensor,
                delta_bias: tl.tensor, output: tl.tensor, starts: tl.tensor, length: tl.tensor, channels: tl.tensor,
                groups: tl.tensor, states: tl.tensor, STATES: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
                SOFTPLUS: tl.constexpr) -> None:
    """Scan BLOCK channels of one group of one batch item; `pair` is a pair of channel and state.

    u, delta, output (batch, groups * channels, length); A (groups * channels, states); B, C (batch, groups, states,
    length); D, delta_bias (groups * channels). STATES is `states` rounded up to a power of two. Into starts (batch,
    groups * channels, states, chunks) go the states before each chunk of STEPS, for the backward.
    """
    batch, group, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    pair = tl.arange(0, BLOCK * STATES)
    in_group, state = block * BLOCK + pair // STATES, pair % STATES
    real = (in_group < channels) & (state < states)
    channel = group * channels + in_group
    fade = tl.load(A + channel * states + state, mask=real, other=0.0)
    bias = tl.load(delta_bias + channel, mask=real, other=0.0)
    own = block * BLOCK + tl.arange(0, BLOCK)
    skip = tl.load(D + group * channels + own, mask=own < channels, other=0.0)
    sequence = (batch * groups * channels + channel) * length
    own_sequence = (batch * groups * channels + group * channels + own) * length
    reading = ((batch * groups + group) * states + state) * length
    chunks = tl.cdiv(length, STEPS)
    start_of_pair = ((batch * groups * channels + channel) * states + state) * chunks
    h = tl.zeros((BLOCK * STATES,), tl.float32)
    for start in range(0, length, STEPS):
        tl.store(starts + start_of_pair + start // STEPS, h, mask=real)
        step = start + tl.arange(0, STEPS)
        mask = real[:, None] & (step < length)[None, :]
        value = tl.load(u + sequence[:, None] + step[None, :], mask=mask, other=0.0).to(tl.float32)
        size = tl.load(delta + sequence[:, None] + step[None, :], mask=mask, other=0.0).to(tl.float32) + bias[:, None]
        if SOFTPLUS:
            size = _softplus(size)
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


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def scan_backward_kernel(dy: tl.tensor, u: tl.tensor, delta: tl.tensor, A: tl.tensor, B: tl.tensor, C: tl.tensor,
                         D: tl.tensor, delta_bias: tl.tensor, starts: tl.tensor, du: tl.tensor, ddelta: tl.tensor,
                         dA: tl.tensor, dB: tl.tensor, dC: tl.tensor, dD: tl.tensor, ddelta_bias: tl.tensor,
                         length: tl.tensor, channels: tl.tensor, groups: tl.tensor, states: tl.tensor,
                         STATES: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
                         SOFTPLUS: tl.constexpr) -> None:
    """Gradients of `scan_kernel`'s inputs, chunk by chunk from the last to the first; programs and shapes as there.

    With `g_t` the gradient of the state `h_t`: `g_t = C_t dy_t + decay_{t+1} g_{t+1}`. What several programs add to is
    written apart and summed by the caller: dA (batch, groups * channels, states); dD, ddelta_bias (batch, groups *
    channels); dB, dC (blocks, batch, groups, states, length), all float32.
    """
    batch, group, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    pair = tl.arange(0, BLOCK * STATES)
    in_group, state = block * BLOCK + pair // STATES, pair % STATES
    real = (in_group < channels) & (state < states)
    channel = group * channels + in_group
    item = batch * groups * channels + channel
    fade = tl.load(A + channel * states + state, mask=real, other=0.0)
    bias = tl.load(delta_bias + channel, mask=real, other=0.0)
    skip = tl.load(D + channel, mask=real & (state == 0), other=0.0)  # once a channel
    own = block * BLOCK + tl.arange(0, BLOCK)
    own_item = batch * groups * channels + group * channels + own
    reading = ((batch * groups + group) * states + state) * length
    own_state = tl.arange(0, STATES)
    part = (((block * tl.num_programs(0) + batch) * groups + group) * states + own_state) * length
    step_in_chunk = tl.arange(0, STEPS)[None, :]
    one, zero = tl.full((BLOCK * STATES, STEPS), 1.0, tl.float32), tl.zeros((BLOCK * STATES, STEPS), tl.float32)
    fade_gradient = tl.zeros((BLOCK * STATES,), tl.float32)
    bias_gradient = tl.zeros((BLOCK * STATES,), tl.float32)
    skip_gradient = tl.zeros((BLOCK * STATES,), tl.float32)
    after = tl.zeros((BLOCK * STATES,), tl.float32)  # decay_{t+1} g_{t+1} of the chunk's last step t
    chunks = tl.cdiv(length, STEPS)
    for done in range(chunks):
        chunk = chunks - 1 - done
        step = chunk * STEPS + tl.arange(0, STEPS)
        mask = real[:, None] & (step < length)[None, :]
        sequence = item[:, None] * length + step[None, :]
        value = tl.load(u + sequence, mask=mask, other=0.0).to(tl.float32)
        slope = tl.load(dy + sequence, mask=mask, other=0.0).to(tl.float32)
        raw = tl.load(delta + sequence, mask=mask, other=0.0).to(tl.float32) + bias[:, None]
        size = raw
        if SOFTPLUS:
            size = _softplus(raw)
        size = tl.where(mask, size, 0.0)
        b = tl.load(B + reading[:, None] + step[None, :], mask=mask, other=0.0).to(tl.float32)
        c = tl.load(C + reading[:, None] + step[None, :], mask=mask, other=0.0).to(tl.float32)
        decay, drive, read = tl.exp(size * fade[:, None]), size * b * value, c * slope
        h = tl.load(starts + (item * states + state) * chunks + chunk, mask=real, other=0.0)
        _, _, lag_decay, lag_drive = tl.associative_scan((decay, drive, one, zero), 1, _compose_and_lag)
        kept = decay * (lag_drive + lag_decay * h[:, None])  # decay_t h_{t-1}
        _, _, lag_decay, lag_drive = tl.associative_scan((decay, decay * read, one, zero), 1, _compose_and_lag,
                                                         reverse=True)
        g = read + lag_drive + lag_decay * after[:, None]
        after = tl.sum(tl.where(step_in_chunk == 0, decay * g, 0.0), axis=1)

        size_gradient = g * (fade[:, None] * kept + b * value)
        if SOFTPLUS:
            size_gradient = size_gradient / (1.0 + tl.exp(-raw))
        fade_gradient += tl.sum(g * size * kept, axis=1)
        bias_gradient += tl.sum(size_gradient, axis=1)
        skip_gradient += tl.sum(slope * value, axis=1)
        value_gradient = tl.sum(tl.reshape(g * size * b + skip[:, None] * slope, (BLOCK, STATES, STEPS)), axis=1)
        size_gradient = tl.sum(tl.reshape(size_gradient, (BLOCK, STATES, STEPS)), axis=1)
        inside = (own < channels)[:, None] & (step < length)[None, :]
        own_sequence = own_item[:, None] * length + step[None, :]
        tl.store(du + own_sequence, value_gradient, mask=inside)
        tl.store(ddelta + own_sequence, size_gradient, mask=inside)
        b_gradient = tl.sum(tl.reshape(g * size * value, (BLOCK, STATES, STEPS)), axis=0)
        c_gradient = tl.sum(tl.reshape((kept + drive) * slope, (BLOCK, STATES, STEPS)), axis=0)
        inside = (own_state < states)[:, None] & (step < length)[None, :]
        tl.store(dB + part[:, None] + step[None, :], b_gradient, mask=inside)
        tl.store(dC + part[:, None] + step[None, :], c_gradient, mask=inside)
    tl.store(dA + item * states + state, fade_gradient, mask=real)
    tl.store(dD + item, skip_gradient, mask=real & (state == 0))
    tl.store(ddelta_bias + own_item, tl.sum(tl.reshape(bias_gradient, (BLOCK, STATES)), axis=1), mask=own < channels)
