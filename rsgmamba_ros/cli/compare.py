"""Compare two replays; the exit status says whether the second one meets the requirements."""
from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
import sys

from rsgmamba_ros.replay.compare import (
    Agreement,
    agreement,
    Difference,
    differences,
    doubts,
    parse_requirements,
    unmet,
)
from rsgmamba_ros.replay.observers.bundle_log import read_bundles
from rsgmamba_ros.replay.report.summary import read_summary


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `rsgmamba compare`."""
    parser.add_argument('first', type=Path, help='results of the first replay: folder or summary.json')
    parser.add_argument('second', type=Path, help='results of the second replay, which must meet the requirements')
    parser.add_argument('--require', default='', metavar='REQUIREMENTS', help='requirements for the second replay, '
                        'for example "miou>=0.5,missed<=0,change.miou>=-0.01"; otherwise the exit status is 1')
    parser.add_argument('--all', action='store_true', help='also print equal figures')


def run(arguments: Namespace) -> int:
    """Print the differences, and what is not met."""
    requirements = parse_requirements(arguments.require)
    first, second = read_summary(arguments.first), read_summary(arguments.second)
    compared = differences(first, second)
    agreed = _agreement(arguments.first, arguments.second)
    if agreed:
        compared += [Difference(f'agreement.{name}', None, float(count)) for name, count in asdict(agreed).items()]
    for sentence in doubts(first, second):
        print(f'note: {sentence}', file=sys.stderr)
    rows = [('figure', 'first', 'second', 'change')]
    rows += [_row(item) for item in compared if arguments.all or item.first != item.second]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows if len(rows) > 1 else [('no figure differs', '', '', '')]:
        print('  '.join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]))
    failed = unmet(requirements, compared)
    for sentence in failed:
        print(sentence, file=sys.stderr)
    return 1 if failed else 0


def _agreement(first: Path, second: Path) -> Agreement | None:
    files = [(path if path.is_dir() else path.parent) / 'bundles.jsonl' for path in (first, second)]
    if not all(file.is_file() for file in files):
        return None
    return agreement(*(read_bundles(file) for file in files))


def _row(item: Difference) -> tuple[str, str, str, str]:
    return item.name, _text(item.first), _text(item.second), '-' if item.change is None else f'{item.change:+g}'


def _text(value: float | None) -> str:
    return '-' if value is None else f'{value:g}'
