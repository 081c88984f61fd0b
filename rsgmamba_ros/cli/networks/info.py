"""`rsgmamba info`: what a network consists of and costs, or what a checkpoint holds."""
from __future__ import annotations

import argparse
from dataclasses import asdict
import json

import torch

from rsgmamba_ros.network.accounting import count_operations, count_parameters, PARTS
from rsgmamba_ros.network.checkpoint import load_checkpoint
from rsgmamba_ros.network.presets import create_network, PRESETS
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rsgmamba info`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--preset', choices=list(PRESETS))
    what.add_argument('--checkpoint', help='checkpoint file, or name of a shipped network')
    parser.add_argument('--classes', type=int, default=40, help='classes of the preset (default: %(default)s)')
    parser.add_argument('--size', default='480x640', metavar='HxW',
                        help='image size for the multiply-accumulates, multiples of 32 (default: %(default)s)')
    parser.add_argument('--json', action='store_true', help='print JSON')


def run(arguments: argparse.Namespace) -> None:
    """Print parameters and multiply-accumulates by part, and a checkpoint's content."""
    height, width = parse_size(arguments.size)
    content = {}
    if arguments.checkpoint:
        checkpoint = load_checkpoint(checkpoint_path(arguments.checkpoint, Modality.DEPTH))
        network = checkpoint.network
        content = {'labels': list(checkpoint.labels.names), 'auxiliary': checkpoint.auxiliary.value,
                   'fusion': network.config.fusion, 'calibrated': sorted(checkpoint.calibration),
                   'preprocessing': asdict(checkpoint.preprocessing), 'info': checkpoint.info}
    else:
        with torch.device('meta'):
            network = create_network(arguments.preset, classes=arguments.classes)
    parameters = count_parameters(network)
    operations = count_operations(network.config, height, width)
    if arguments.json:
        print(json.dumps({**parameters, 'size': [height, width], 'multiply_accumulates': operations, **content}))
        return
    print(f'{"part":<18}{"parameters":>14}{f"MACs at {height}x{width}":>22}')
    for part in PARTS:
        print(f'{part:<18}{parameters[part] / 1e6:>13.3f}M{operations[part] / 1e9:>21.2f}G')
    print(f'{"all":<18}{parameters["parameters"] / 1e6:>13.3f}M{operations["operations"] / 1e9:>21.2f}G')
    print(f'{"of these, scans":<18}{"":>14}{operations["scan"] / 1e9:>21.2f}G')
    for name, value in content.items():
        print(f'{name}: {value if isinstance(value, str) else json.dumps(value)}')


def parse_size(text: str) -> tuple[int, int]:
    """`480x640` -> (480, 640).

    Raises:
        ConfigError: not two multiples of 32.
    """
    try:
        height, width = map(int, text.lower().split('x'))
    except ValueError:
        raise ConfigError(f'size {text!r} is not of the form HEIGHTxWIDTH, for example 480x640') from None
    if height < 32 or width < 32 or height % 32 or width % 32:
        raise ConfigError(f'size is {height}x{width}; both sides must be multiples of 32')
    return height, width
