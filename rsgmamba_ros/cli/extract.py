"""`rsgmamba bag extract`: a bag to a dataset folder with the network's labels as a start."""
from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
import sys

from tqdm import tqdm

from rsgmamba_ros.data.bags.reader import BagReader, READ_IN_PART
from rsgmamba_ros.data.bags.topics import find_auxiliary
from rsgmamba_ros.data.messages.images import ImageContent
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.pipeline.node_settings import NodeSettings, parse_settings
from rsgmamba_ros.replay.config import load_settings
from rsgmamba_ros.replay.extraction import CHOICES, extract
from rsgmamba_ros.replay.session import open_segmenter
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality


def add_arguments(command: ArgumentParser) -> None:
    """Declare the arguments of `rsgmamba bag extract`."""
    command.add_argument('bag', type=Path, help='folder or file of the bag')
    command.add_argument('out', type=Path, help='folder to create')
    command.add_argument('--every', type=float, default=1.0, metavar='S',
                         help='at most one image pair in this time, seconds (default: %(default)s)')
    command.add_argument('--only', choices=[name for name in CHOICES if name], default='',
                         help='of each period the least reliable or confident pair, if it is below 0.5 or 0.7; or '
                              'pairs that look different from all before')
    command.add_argument('--checkpoint', help='network: a file, or the name of a shipped one (default: that of the '
                         'parameter file, else the shipped default of the modality)')
    command.add_argument('--params-file', type=Path, help="the node's parameter file (ROS 2 YAML)")
    command.add_argument('--auxiliary', choices=[str(m) for m in AUXILIARY_MODALITIES],
                         help='modality beside RGB (default: the one that the bag has)')
    for name in ('rgb', 'aux'):
        command.add_argument(f'--{name}-topic', help='found by type and encoding if not named')


def run(arguments: Namespace) -> int:
    """Write the folder, and print its path and how to check it; status 3 if a part of the bag could not be read."""
    settings = load_settings(arguments.params_file) if arguments.params_file else NodeSettings()
    with BagReader(arguments.bag, decoding=settings.decoding()) as bag:
        auxiliary = arguments.auxiliary or (settings.modality if arguments.params_file else str(find_auxiliary(bag)))
        settings = parse_settings(settings.as_parameters() | {'modality': auxiliary}, where='command line')
        segmenter = open_segmenter(checkpoint_path(arguments.checkpoint or settings.checkpoint, Modality(auxiliary)),
                                   settings)
        topics: dict[ImageContent, str | None] = {Modality.RGB: arguments.rgb_topic,
                                                  segmenter.auxiliary: arguments.aux_topic}
        with tqdm(unit='image', file=sys.stderr) as progress:
            found = extract(bag, arguments.out, segmenter, settings, every_s=arguments.every, only=arguments.only,
                            topics=topics, on_progress=progress.update)
    for line in found.warnings:
        print(f'warning: {line}', file=sys.stderr)
    print(f'{found.count} image pairs with labels of the network, to be corrected; '
          f'rsgmamba dataset check {arguments.out} --dataset {arguments.out / "layout.yaml"}')
    print(arguments.out)
    return 0 if found.is_whole else READ_IN_PART
