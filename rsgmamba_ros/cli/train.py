"""`rsgmamba train CONFIG`: train a network, or resume a training that was stopped."""
from __future__ import annotations

import argparse
from pathlib import Path

from rsgmamba_ros.training.config import TrainingConfig
from rsgmamba_ros.training.runs import train_network
from rsgmamba_ros.training.samples.datasets import open_datasets
from rsgmamba_ros.training.trainer import CHECKPOINT
from rsgmamba_ros.vocabulary.config_file import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rsgmamba train`."""
    parser.add_argument('config', type=Path, help='YAML file, see config/train_synthetic_depth.yaml')
    parser.add_argument('--out', type=Path, help='folder for state, logs and checkpoint (default: out/NAME_OF_CONFIG); '
                        'a training that was stopped there is resumed')


def run(arguments: argparse.Namespace) -> None:
    """Train."""
    config = load_config(arguments.config, TrainingConfig)
    folder = arguments.out or Path('out') / arguments.config.stem
    trainer = train_network(config, *open_datasets(config), folder)
    if trainer.processes.is_first:
        print(folder / CHECKPOINT)
