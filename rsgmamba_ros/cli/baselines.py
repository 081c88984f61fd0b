"""`rsgmamba baselines CONFIG` (or `rivals`): compare the network with baselines of equal size and budget."""
from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import Any

import torch
from tqdm import tqdm

from rsgmamba_ros.training.comparison.baselines import BASELINES, table, train_and_score
from rsgmamba_ros.training.config import TrainingConfig
from rsgmamba_ros.training.samples.datasets import open_datasets
from rsgmamba_ros.vocabulary.config_file import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rsgmamba baselines`."""
    parser.add_argument('config', type=Path, help='YAML file of the training that all of them share')
    parser.add_argument('--only', nargs='+', choices=list(BASELINES), default=list(BASELINES))
    parser.add_argument('--limit', type=int, default=0,
                        help='score corruption and noise on so many validation samples; 0 for all')
    parser.add_argument('--out', type=Path, help='folder (default: out/rivals_NAME_OF_CONFIG); a stopped run '
                        'is resumed, and a training with the same configuration, data and weights is used again')


def run(arguments: argparse.Namespace) -> None:
    """Train, score, print the table."""
    config = load_config(arguments.config, TrainingConfig)
    folder = arguments.out or Path('out') / f'rivals_{arguments.config.stem}'
    datasets = open_datasets(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    summaries: dict[str, dict[str, Any]] = {}
    for name in arguments.only:
        print(f'{name} ({len(summaries) + 1} of {len(arguments.only)})', file=sys.stderr)
        summaries[name] = train_and_score(name, config, *datasets, folder, limit=arguments.limit,
                                          progress=lambda items: tqdm(items, unit='sample', file=sys.stderr))
        (folder / 'rivals.json').write_text(json.dumps(summaries, indent=1) + '\n')
        (folder / 'rivals.md').write_text(table(summaries, config))
    print(table(summaries, config))
