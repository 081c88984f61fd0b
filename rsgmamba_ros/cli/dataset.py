"""`rsgmamba dataset check DIR`: check that a dataset folder is complete, and describe its content."""
from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from rsgmamba_ros.data.dataset_check import check_dataset, describe
from rsgmamba_ros.data.datasets import recognise
from rsgmamba_ros.data.folder_dataset import FolderDataset
from rsgmamba_ros.data.layouts import layout_names, load_layout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rsgmamba dataset`."""
    commands = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    check = commands.add_parser('check', help='print counts, sizes, encodings and class frequencies of a folder')
    check.add_argument('folder', help='dataset folder')
    check.add_argument('--split', default='', help="split of the layout, or list file (default: the layout's default)")
    check.add_argument('--dataset', help='name or YAML file of the layout (default: recognised from the folder)')
    commands.add_parser('list', help='print the known layouts')


def run(arguments: argparse.Namespace) -> int:
    """Check or list; status 1 if a sample cannot be used."""
    if arguments.action == 'list':
        for name in layout_names():
            layout = load_layout(name)
            print(f'{name}: rgb + {layout.auxiliary}, {len(layout.labels)} classes, splits {", ".join(layout.splits)}')
        return 0
    if arguments.dataset:
        dataset = FolderDataset(arguments.folder, load_layout(arguments.dataset), split=arguments.split)
    else:
        dataset = recognise(arguments.folder, split=arguments.split)
    report = check_dataset(dataset, progress=lambda items: tqdm(items, unit='sample', file=sys.stderr))
    print(describe(report, dataset))
    for problem in report.problems:
        print(f'unusable: {problem}', file=sys.stderr)
    return 1 if report.problems else 0
