"""The compiled scan of a map, compared with a numba kernel that was not adopted and with the plain torch backends.

Both kernels have the same layout and order of loops: channels last, blocks of channels, four directions; the step
projection and softplus are fused in. Without numba (pip install numba) its column is left out.
Run: python benchmarks/scan.py [--repeats 7] [--threads 2] [--json]
"""
from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import json
import statistics
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsgmamba_ros.ops.cross_scan import DIRECTIONS
from rsgmamba_ros.ops.selective_scan.contract import selective_scan_map
from rsgmamba_ros.ops.selective_scan.cpp import map_order

BACKENDS = ('cpp', 'chunked', 'reference')
#: One call takes seconds.
SLOW_BACKENDS = ('chunked', 'reference')
NUMBA_BLOCKS = (16, 48)


@dataclass(frozen=True)
class Case:
    """One map: batch, height, width, channels, states, rank of the step."""

    batch: int
    height: int
    width: int
    channels: int
    states: int
    rank: int


#: Maps of `base` at 480x640: the first and third stage of the encoder, and the first stage of the fusion.
CASES = (Case(2, 120, 160, 96, 1, 6), Case(2, 30, 40, 384, 1, 24), Case(1, 120, 160, 144, 4, 6))


def arguments(case: Case) -> tuple[Tensor, ...]:
    """Random arguments of `selective_scan_map`, in its order, float32; see its contract for the shapes."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return (normal(case.batch, case.height, case.width, case.channels),
            normal(case.batch, case.height, case.width, DIRECTIONS, case.rank + 2 * case.states),
            0.3 * normal(DIRECTIONS, case.channels, case.rank), normal(DIRECTIONS, case.channels),
            -torch.rand(DIRECTIONS, case.channels, case.states, generator=generator),
            torch.ones(DIRECTIONS, case.channels))


def numba_scan(threads: int) -> Callable[..., np.ndarray] | None:
    """The numba kernel, as a function of a block size and `arguments(case)`; None if numba is not installed."""
    try:
        import numba
    except ImportError:
        return None
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))

    @numba.njit(parallel=True, fastmath=True, error_model='numpy')
    def scan(u: Any, projected: Any, weights: Any, biases: Any, A: Any, D: Any, order: Any, y: Any,
             block: int) -> None:  # pragma: no cover (compiled)
        batch, length, channels = u.shape
        directions, rank, states = weights.shape[0], weights.shape[1], A.shape[1]
        blocks = (channels + block - 1) // block
        for task in numba.prange(batch * blocks):
            b, first = task // blocks, (task % blocks) * block
            for k in range(directions):
                h = np.zeros((states, block), np.float32)
                step, out = np.empty(block, np.float32), np.empty(block, np.float32)
                for index in range(length):
                    p = order[k, index]
                    for c in range(block):
                        step[c] = biases[k, first + c]
                    for r in range(rank):
                        value = projected[b, p, k, r]
                        for c in range(block):
                            step[c] += weights[k, r, first + c] * value
                    for c in range(block):
                        x = step[c]
                        step[c] = max(x, np.float32(0)) + np.log(np.float32(1) + np.exp(-abs(x)))
                        out[c] = D[k, first + c] * u[b, p, first + c]
                    for n in range(states):
                        B, C = projected[b, p, k, rank + n], projected[b, p, k, rank + states + n]
                        for c in range(block):
                            state = np.exp(step[c] * A[k, n, first + c]) * h[n, c] + step[c] * u[b, p, first + c] * B
                            h[n, c] = state
                            out[c] += state * C
                    for c in range(block):
                        y[b, p, first + c] = out[c] if k == 0 else y[b, p, first + c] + out[c]

    def run(block: int, u: Tensor, projected: Tensor, weights: Tensor, biases: Tensor, A: Tensor,
            D: Tensor) -> np.ndarray:
        order = map_order(*u.shape[1:3]).numpy()
        y = np.zeros(u.flatten(1, 2).shape, np.float32)
        scan(u.flatten(1, 2).numpy(), projected.flatten(1, 2).numpy(), weights.transpose(1, 2).contiguous().numpy(),
             biases.numpy(), A.transpose(1, 2).contiguous().numpy(), D.numpy(), order, y, block)
        return y

    return run


def median_ms(call: Callable[[], Any], repeats: int) -> float:
    """Median time of a call, milliseconds, after one call to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        times.append(1e3 * (perf_counter() - start))
    return statistics.median(times)


@torch.inference_mode()
def measure(case: Case, *, repeats: int, threads: int) -> dict[str, float]:
    """Milliseconds of each backend; numba's result is checked against `cpp`, and its best block size counts."""
    given = arguments(case)
    figures = {name: median_ms(partial(selective_scan_map, *given, backend=name),
                               1 if name in SLOW_BACKENDS else repeats) for name in BACKENDS}
    candidate = numba_scan(threads)
    if candidate is not None:
        expected = selective_scan_map(*given, backend='cpp').flatten(1, 2).numpy()
        np.testing.assert_allclose(candidate(NUMBA_BLOCKS[0], *given), expected, atol=1e-3 * np.abs(expected).max())
        figures['numba'] = min(median_ms(partial(candidate, block, *given), repeats)
                               for block in NUMBA_BLOCKS)
    return figures


def main() -> None:
    """Print one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--json', action='store_true')
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = {case: measure(case, repeats=options.repeats, threads=options.threads) for case in CASES}
    if options.json:
        print(json.dumps([{'case': vars(case), 'ms': figures} for case, figures in rows.items()], indent=1))
        return
    names = list(next(iter(rows.values())))
    print(f'| batch, map, channels, N, R (ms) | {" | ".join(names)} |\n|---|' + '--:|' * len(names))
    for case, figures in rows.items():
        shape = f'{case.batch}, {case.height}x{case.width}, {case.channels}, {case.states}, {case.rank}'
        print(f'| {shape} | ' + ' | '.join(f'{figures[name]:.1f}' for name in names) + ' |')


if __name__ == '__main__':
    main()
