"""`rsgmamba benchmark`: speed and memory on this machine, in one table."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
import json
import os
import platform
import sys

import torch
from tqdm import tqdm

from rsgmamba_ros.evaluation.speed import measure_in_new_process, Speed, SpeedCase
from rsgmamba_ros.network.export import CASES
from rsgmamba_ros.network.presets import PRESETS
from rsgmamba_ros.ops.selective_scan.contract import BACKENDS
from rsgmamba_ros.pipeline.execution.engine import choose_device, PRECISIONS
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError, ConfigError

SIZES = {'nano': '240x320', 'lite': '240x320', 'base': '480x640'}
HEADINGS = ('preset', 'size', 'through', 'modalities', 'backend', 'precision', 'p50 ms', 'p95 ms', 'bundles/s',
            'scan share', 'peak MB')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rsgmamba benchmark`."""
    parser.add_argument('--preset', choices=list(PRESETS), nargs='+', default=['nano', 'base'])
    parser.add_argument('--size', metavar='HxW', nargs='+', help=f'image sizes (default: {SIZES})')
    parser.add_argument('--backend', choices=['auto', *BACKENDS], nargs='+', default=['auto', 'chunked', 'reference'],
                        help='of the scans; reference is the step-by-step loop (default: auto chunked reference)')
    parser.add_argument('--precision', choices=list(PRECISIONS), nargs='+', default=['float32', 'bfloat16'])
    parser.add_argument('--modalities', choices=list(CASES), nargs='+', default=['both', 'rgb'])
    parser.add_argument('--compile', action='store_true', help='also by torch.compile, which first takes minutes')
    parser.add_argument('--classes', type=int, default=40)
    parser.add_argument('--device', default='auto')
    parser.add_argument('--threads', type=int, default=0, help="of torch; 0 for torch's own choice")
    parser.add_argument('--repeats', type=int, default=30)
    parser.add_argument('--json', action='store_true', help='print JSON')


def run(arguments: argparse.Namespace) -> None:
    """Measure every combination and print the table; of what was measured, if it is interrupted."""
    device = choose_device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else _cpu_name()
    results = []
    try:
        for case in tqdm(_cases(arguments, str(device)), desc='benchmark', unit='case', file=sys.stderr):
            try:
                results.append((case, measure_in_new_process(case)))
            except BackendUnavailableError as error:
                print(f'left out: {case.preset} {case.backend} {case.precision}: {error}', file=sys.stderr)
    finally:
        if results:
            _print(results, arguments, name)


def _print(results: list[tuple[SpeedCase, Speed]], arguments: argparse.Namespace, name: str) -> None:
    if arguments.json:
        print(json.dumps({'device': name, 'threads': arguments.threads or torch.get_num_threads(),
                          'results': [{**asdict(case), **asdict(speed)} for case, speed in results]}))
        return
    print(f'{name}, {arguments.threads or torch.get_num_threads()} threads, torch {torch.__version__}, '
          f'load {os.getloadavg()[0]:.1f}\n')
    rows = [HEADINGS, *(_row(case, speed) for case, speed in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for index, row in enumerate(rows):
        print('| ' + ' | '.join(cell.rjust(width) for cell, width in zip(row, widths)) + ' |')
        if index == 0:
            print('|' + '|'.join('-' * (width + 1) + ':' for width in widths) + '|')


def _cases(arguments: argparse.Namespace, device: str) -> list[SpeedCase]:
    """Every combination; through the segmenter, and with one modality, with the first backend only."""
    cases = []
    for preset in arguments.preset:
        for size in arguments.size or [SIZES[preset]]:
            height, width = _parse_size(size)
            case = SpeedCase(preset, height, width, classes=arguments.classes, device=device,
                             threads=arguments.threads, repeats=arguments.repeats)
            for precision in arguments.precision:
                for modalities in arguments.modalities:
                    backends = arguments.backend if modalities == 'both' else arguments.backend[:1]
                    cases += [replace(case, precision=precision, modalities=CASES[modalities],
                                      backend=backend) for backend in backends]
                others = ['compiled', 'segmenter'] if arguments.compile else ['segmenter']
                cases += [replace(case, precision=precision, backend=arguments.backend[0], through=through)
                          for through in others]
    return cases


def _row(case: SpeedCase, speed: Speed) -> Sequence[str]:
    modalities = next(name for name, there in CASES.items() if there == case.modalities)
    return (case.preset, f'{case.height}x{case.width}', case.through, modalities, case.backend, case.precision,
            f'{speed.p50_ms:.1f}', f'{speed.p95_ms:.1f}', f'{speed.bundles_per_s:.2f}',
            '-' if speed.scan_share is None else f'{speed.scan_share:.0%}', f'{speed.peak_memory_mb:.0f}')


def _parse_size(text: str) -> tuple[int, int]:
    try:
        height, width = map(int, text.lower().split('x'))
    except ValueError:
        raise ConfigError(f'size {text!r} is not of the form HEIGHTxWIDTH, for example 240x320') from None
    return height, width


def _cpu_name() -> str:
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            names = [line.split(':', 1)[1].strip() for line in file if line.startswith('model name')]
    except OSError:
        names = []
    return f'{names[0] if names else platform.processor() or platform.machine()} ({os.cpu_count()} cores)'
