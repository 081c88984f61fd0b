"""The scan of a map on a GPU: time and error of each backend, for each dtype.

The times are those of forward, and of forward and backward together; medians of `triton.testing.do_bench`. The error
is ||y - y64|| / ||y64||, where y64 is the result of `chunked` in float64 from the same rounded inputs. `reference` is
slow and runs only on the smallest map. Needs CUDA and triton; a backend that is not installed is left out.
Run: python benchmarks/scan_cuda.py [--json]
"""
from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
import json
import sys
from typing import Any

import scan
import torch
from torch import Tensor

from rsgmamba_ros.ops.selective_scan.contract import BACKENDS, selective_scan_map

NAMES = ('triton', 'mamba_ssm', 'chunked', 'reference')
DTYPES = (torch.float32, torch.bfloat16)
#: The cases of the CPU's benchmark, and two of `lite` in training: the first and third stage of its encoder.
CASES = (*scan.CASES, scan.Case(8, 48, 64, 24, 1, 2), scan.Case(8, 12, 16, 112, 1, 7))


def is_smallest(case: scan.Case) -> bool:
    """Whether this is the smallest map, on which `reference`, a loop over the length, runs too."""
    return case.height * case.width == min(other.height * other.width for other in CASES)


def arguments(case: scan.Case, dtype: torch.dtype) -> list[Tensor]:
    """Arguments of `selective_scan_map` on the GPU: maps in `dtype`, weights float32."""
    u, projected, *weights = (tensor.cuda() for tensor in scan.arguments(case))
    return [u.to(dtype), projected.to(dtype), *weights]


def median_ms(call: Callable[[], Any]) -> float:
    """Median time of a call, milliseconds."""
    from triton.testing import do_bench
    return float(do_bench(call, return_mode='median'))


def measure(case: scan.Case, dtype: torch.dtype, name: str, expected: Tensor) -> dict[str, float | None]:
    """Milliseconds of forward and of forward and backward (None for `reference`), and the relative error."""
    given = arguments(case, dtype)
    with torch.no_grad():
        output = selective_scan_map(*given, backend=name)
        error = ((output.double() - expected).norm() / expected.norm()).item()
        forward = median_ms(lambda: selective_scan_map(*given, backend=name))
    if name == 'reference':
        return {'forward_ms': forward, 'both_ms': None, 'error': error}
    leaves, weights = [tensor.requires_grad_() for tensor in given], torch.ones_like(output)
    both = median_ms(lambda: torch.autograd.grad(selective_scan_map(*leaves, backend=name), leaves, weights))
    return {'forward_ms': forward, 'both_ms': both, 'error': error}


def rows() -> list[dict[str, Any]]:
    """Measure every case, dtype and backend."""
    device, found = torch.device('cuda'), []
    for case in CASES:
        for dtype in DTYPES:
            with torch.no_grad():
                expected = selective_scan_map(*(tensor.double() for tensor in arguments(case, dtype)),
                                              backend='chunked')
            for name in NAMES:
                if BACKENDS[name].unavailable_reason(device) is None and (name != 'reference' or is_smallest(case)):
                    found.append({'case': asdict(case), 'dtype': str(dtype).removeprefix('torch.'), 'backend': name,
                                  **measure(case, dtype, name, expected)})
    return found


def main() -> None:
    """Print one line for each case, dtype and backend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', action='store_true')
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit('this benchmark needs a GPU with CUDA, and torch finds none')
    measured = rows()
    if options.json:
        print(json.dumps({'device': torch.cuda.get_device_name(), 'torch': torch.__version__, 'rows': measured},
                         indent=1))
        return
    print(f'{torch.cuda.get_device_name()}, torch {torch.__version__}\n')
    print('| batch, map, channels, N, R | dtype | backend | forward, ms | and backward, ms | error |')
    print('|---|---|---|--:|--:|--:|')
    for row in measured:
        case = scan.Case(**row['case'])
        both = '' if row['both_ms'] is None else f'{row["both_ms"]:.3f}'
        shape = f'{case.batch}, {case.height}x{case.width}, {case.channels}, {case.states}, {case.rank}'
        print(f'| {shape} | {row["dtype"]} | {row["backend"]} | {row["forward_ms"]:.3f} | {both} '
              f'| {row["error"]:.1e} |')


if __name__ == '__main__':
    main()
