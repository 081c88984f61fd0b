"""Make bags to test with, say which topics of a bag hold what, and make a dataset of a bag."""
from __future__ import annotations

from argparse import ArgumentParser, Namespace
import json
from pathlib import Path
import sys

from tqdm import tqdm

from rsgmamba_ros.cli import extract
from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.sources import file_shots, find_image_files, synthetic_shots, write_shots
from rsgmamba_ros.data.bags.topics import find_topics, NONE, transport
from rsgmamba_ros.data.bags.writer import COMPRESSIONS, STORAGES
from rsgmamba_ros.data.messages.images import LABELS
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the two ways to make a bag and their common options, the list of topics, and the extraction."""
    commands = parser.add_subparsers(dest='source', required=True)
    synthesise = commands.add_parser('synthesize', help='moving synthetic scenes with ground truth')
    synthesise.add_argument('out', type=Path, help='folder to create')
    synthesise.add_argument('--seconds', type=float, default=10.0, help='length of the bag (default: %(default)s)')
    synthesise.add_argument('--seed', type=int, default=0, help='seed of the scenes (default: %(default)s)')
    synthesise.add_argument('--size', default='320x240', help='WIDTHxHEIGHT in pixels (default: %(default)s)')
    folder = commands.add_parser('from-images', help='images in the layout of 7-Scenes, or in rgb/ and depth/')
    folder.add_argument('folder', type=Path, help='folder of the images')
    folder.add_argument('out', type=Path, help='folder to create')
    folder.add_argument('--limit', type=int, help='use at most this many image pairs')
    folder.add_argument('--repeat', type=int, default=1, help='passes through the images (default: %(default)s)')
    for command in (synthesise, folder):
        command.add_argument('--auxiliary', choices=[str(m) for m in AUXILIARY_MODALITIES], default='depth',
                             help='modality beside RGB (default: %(default)s)')
        command.add_argument('--rate-hz', type=float, default=30.0, help='images a second (default: %(default)s)')
        command.add_argument('--compressed', action='store_true', help='JPEG and compressedDepth instead of raw images')
        command.add_argument('--storage', choices=STORAGES, default='mcap', help='format (default: %(default)s)')
        command.add_argument('--compression', choices=COMPRESSIONS, default='none',
                             help="of the bag: MCAP chunks (storage), or the modes of rosbag2 (default: %(default)s)")
    _add_topics(commands.add_parser('topics', help='print topic and transport of each modality as JSON'))
    extract.add_arguments(commands.add_parser(
        'extract', help="write image pairs with the network's labels, to correct them and to train on them"))


def _add_topics(command: ArgumentParser) -> None:
    command.add_argument('bag', type=Path, help='folder or file of the bag')
    command.add_argument('--auxiliary', choices=[str(m) for m in AUXILIARY_MODALITIES], default='depth',
                         help='modality beside RGB (default: %(default)s)')
    command.add_argument('--rgb-topic', help=f'colour images; found by type if not given, "{NONE}" to leave them out')
    command.add_argument('--aux-topic', help='depth or thermal images; found by type if not given, '
                                             f'"{NONE}" to leave them out')


def run(arguments: Namespace) -> int:
    """Write the bag and say what is in it, or print the topics of one."""
    if arguments.source == 'topics':
        _print_topics(arguments)
        return 0
    if arguments.source == 'extract':
        return extract.run(arguments)
    if arguments.rate_hz <= 0:
        raise ConfigError(f'--rate-hz is {arguments.rate_hz}; it must be positive')
    auxiliary = Modality(arguments.auxiliary)
    if arguments.source == 'synthesize':
        width, height = _size(arguments.size)
        total = round(arguments.seconds * arguments.rate_hz)
        shots = synthetic_shots(total, seed=arguments.seed, rate_hz=arguments.rate_hz, height=height, width=width,
                                auxiliary=auxiliary)
    else:
        files = find_image_files(arguments.folder, auxiliary)[:arguments.limit] * arguments.repeat
        total, shots = len(files), file_shots(files, auxiliary)
    count = write_shots(arguments.out, tqdm(shots, total=total, unit='image pairs'), auxiliary=auxiliary,
                        rate_hz=arguments.rate_hz, compressed=arguments.compressed, storage=arguments.storage,
                        compression=arguments.compression)
    print(f'{arguments.out}: {count} image pairs, {count / arguments.rate_hz:.1f} s')
    return 0


def _print_topics(arguments: Namespace) -> None:
    auxiliary = Modality(arguments.auxiliary)
    with BagReader(arguments.bag) as bag:
        topics = find_topics(bag, auxiliary=auxiliary, named={
            Modality.RGB: arguments.rgb_topic, auxiliary: arguments.aux_topic, LABELS: NONE})
        print(json.dumps({str(modality): {'topic': topic, 'transport': transport(bag, topic)}
                          for topic, modality in topics.items()}))
        for line in bag.damage:
            print(f'warning: {line}', file=sys.stderr)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition('x')
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ConfigError(f'--size is {text!r}; expected WIDTHxHEIGHT, as in 640x480')
    return int(width), int(height)
