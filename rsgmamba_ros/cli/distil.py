"""`rsgmamba distil CONFIG`: give the encoder a start from a small ImageNet network, without labels."""
from __future__ import annotations

import argparse
from pathlib import Path

from rsgmamba_ros.training.datasets import open_datasets
from rsgmamba_ros.training.distillation import distil, TrainingConfig
from rsgmamba_ros.vocabulary.config_file import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rsgmamba distil`."""
    parser.add_argument('config', type=Path, help='YAML file of a training, see config/distil_nyuv2_nano.yaml')
    parser.add_argument('--out', type=Path, help='folder (default: out/NAME_OF_CONFIG); what was stopped there goes on')


def run(arguments: argparse.Namespace) -> None:
    """Distil."""
    config = load_config(arguments.config, TrainingConfig)
    training, _ = open_datasets(config)
    print(distil(config, training, arguments.out or Path('out') / arguments.config.stem))
