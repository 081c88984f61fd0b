"""`rsgmamba profile`: learn what healthy images of one sensor look like."""
from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
import sys
from time import perf_counter

from tqdm import tqdm

from rsgmamba_ros.data.bags.reader import READ_IN_PART
from rsgmamba_ros.data.messages.images import ImageContent
from rsgmamba_ros.data.reference_images import open_references
from rsgmamba_ros.data.signature_failures import inflict_signatures
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.ops.cpu.threads import use_threads
from rsgmamba_ros.pipeline.profiling import ProfileMaker, REFERENCE_IMAGES
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality
from rsgmamba_ros.vocabulary.sensor_profile import save_profile


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `rsgmamba profile`."""
    parser.add_argument('source', help='bag, or folder of images, of the healthy sensor; no labels are needed')
    parser.add_argument('-o', '--out', type=Path, required=True, help='file for the sensor profile, e.g. front.yaml')
    parser.add_argument('--checkpoint', default='', help='network that will use the profile: a file, or the name of a '
                        'shipped one (default: the shipped default of the modality)')
    parser.add_argument('--modality', choices=[str(m) for m in AUXILIARY_MODALITIES], default='depth',
                        help='modality beside RGB, to choose the default network (default: %(default)s)')
    parser.add_argument('--images', type=int, default=REFERENCE_IMAGES,
                        help='image pairs to use, evenly spread (default: %(default)s)')
    parser.add_argument('--layout', help='layout of the folder: a name or file of config/datasets '
                        '(default: recognised)')
    parser.add_argument('--split', default='', help="split of the layout, or list file (default: the layout's default)")
    for name in ('rgb', 'aux'):
        parser.add_argument(f'--{name}-topic', help='topic of the bag; found by type and encoding if not named')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--threads', type=int, default=0, help="of torch; 0 for torch's own choice")


def run(arguments: Namespace) -> int:
    """Make the profile, write it, and print what it is made of; status 3 if a part of the bag could not be read."""
    start = perf_counter()
    use_threads(arguments.threads)
    checkpoint = checkpoint_path(arguments.checkpoint, Modality(arguments.modality))
    segmenter = Segmenter(checkpoint, device=arguments.device)
    topics: dict[ImageContent, str | None] = {Modality.RGB: arguments.rgb_topic,
                                              segmenter.auxiliary: arguments.aux_topic}
    references = open_references(arguments.source, segmenter.auxiliary, images=arguments.images,
                                 layout=arguments.layout, split=arguments.split, topics=topics)
    maker = ProfileMaker(segmenter, inflict_signatures)
    for bundle in tqdm(references, unit='image', file=sys.stderr):
        maker.add(bundle)
    for line in dict.fromkeys(references.warnings):
        print(f'warning: {line}', file=sys.stderr)
    profile = maker.make(references.description)
    save_profile(arguments.out, profile)
    print(f'source: {references.description}, {references.found} pairs of rgb and {profile.auxiliary}')
    print(f'used: {profile.images} pairs, {profile.mean.size} figures')
    for fault, count in maker.faults.most_common():
        print(f'left out: {fault} ({count})')
    print(f'{arguments.out}: written in {perf_counter() - start:.1f} s; use it as parameter sensor_profile')
    return READ_IN_PART if references.warnings else 0
