"""Make bags to test with: from synthetic scenes or from a folder of images."""
from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from tqdm import tqdm

from rsgmamba_ros.data.bags.sources import file_shots, find_image_files, synthetic_shots, write_shots
from rsgmamba_ros.data.bags.writer import COMPRESSIONS, STORAGES
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the two ways to make a bag and their common options."""
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


def run(arguments: Namespace) -> None:
    """Write the bag and say what is in it."""
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


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition('x')
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ConfigError(f'--size is {text!r}; expected WIDTHxHEIGHT, as in 640x480')
    return int(width), int(height)
