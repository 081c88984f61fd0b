"""`rsgmamba rivals CONFIG`: train the network and its rivals at equal size and budget, and compare them."""
from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys

import torch
from tqdm import tqdm

from rsgmamba_ros.training.comparison.networks import RIVALS, table, train_and_score, TrainingConfig
from rsgmamba_ros.training.samples.datasets import open_datasets
from rsgmamba_ros.vocabulary.config_file import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rsgmamba rivals`."""
    parser.add_argument('config', type=Path, help='YAML file of the training that all of them share')
    parser.add_argument('--only', nargs='+', choices=list(RIVALS), default=list(RIVALS))
    parser.add_argument('--limit', type=int, default=0,
                        help='score corruption and noise on so many validation samples; 0 for all')
    parser.add_argument('--out', type=Path, help='folder (default: out/rivals_NAME_OF_CONFIG); a stopped run goes on, '
                        'and what was trained and scored there is not done again')


def run(arguments: argparse.Namespace) -> None:
    """Train, score, print the table."""
    config = load_config(arguments.config, TrainingConfig)
    folder = arguments.out or Path('out') / f'rivals_{arguments.config.stem}'
    datasets = open_datasets(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    summaries = {}
    for name in arguments.only:
        print(f'{name} ({len(summaries) + 1} of {len(arguments.only)})', file=sys.stderr)
        summaries[name] = train_and_score(name, config, *datasets, folder, limit=arguments.limit,
                                          progress=lambda items: tqdm(items, unit='sample', file=sys.stderr))
        (folder / 'rivals.json').write_text(json.dumps(summaries, indent=1) + '\n')
        (folder / 'rivals.md').write_text(table(summaries, config))
    print(table(summaries, config))
