"""Segment a bag, or only synchronise it, and write summary, bundles, results and report."""
from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
import signal
import sys
from types import FrameType

from tqdm import tqdm

from rsgmamba_ros.data.bags.ordering import ORDERS
from rsgmamba_ros.data.bags.reader import BagReader, READ_IN_PART
from rsgmamba_ros.data.bags.topics import find_auxiliary
from rsgmamba_ros.data.messages.images import ImageContent, LABELS
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.pipeline.node_settings import NodeSettings, PARAMETERS, parse_settings
from rsgmamba_ros.replay.config import load_settings
from rsgmamba_ros.replay.report.summary import is_read_in_part
from rsgmamba_ros.replay.report.tables import warnings
from rsgmamba_ros.replay.session import ReplayOptions, ReplaySession
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `rsgmamba replay`."""
    parser.add_argument('bag', type=Path, help='ROS 2 bag (folder, .mcap, .db3) or ROS 1 bag (.bag)')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--checkpoint', help='network: a file, or the name of a shipped one (default: that of the '
                      'parameter file, else the shipped default of the modality)')
    what.add_argument('--sync-only', action='store_true', help='no network: what the synchroniser does, at disk speed')
    parser.add_argument('--out', type=Path, help='folder for the results (default: BAG_replay, beside the bag)')
    parser.add_argument('--overwrite', action='store_true', help='replace results that are there')
    parser.add_argument('--auxiliary', choices=[str(m) for m in AUXILIARY_MODALITIES],
                        help="modality beside RGB (default: the checkpoint's, else the one that the bag has)")
    truth = parser.add_mutually_exclusive_group()
    for name, where in (('rgb', parser), ('aux', parser), ('labels', truth)):
        where.add_argument(f'--{name}-topic', help='found by type and encoding if not named; "none" to go without')
    truth.add_argument('--labels-dir', type=Path, help='ground truth as PNG files named by stamp (ns) or number')
    parser.add_argument('--label-tolerance-s', type=float, default=0.02,
                        help='largest distance of a label stamp from the leading image, seconds (default: %(default)s)')
    parser.add_argument('--inject', default='', metavar='FAULTS', help='sensor faults, as in '
                        '"depth:missing@10-13 rgb:gaussian:3@20-25 depth:delay:0.08@30- depth:clock:+0.2@40-"')
    parser.add_argument('--seed', type=int, default=0, help='of the faults (default: %(default)s)')
    parser.add_argument('--params-file', type=Path, help="the node's parameter file (ROS 2 YAML)")
    parser.add_argument('--restore', action='store_true', default=None, help='repair images of low reliability first, '
                        'as the node does with the parameter restore')
    parser.add_argument('--device', help=_instead_of_file('device', 'torch device'))
    parser.add_argument('--precision', help=_instead_of_file('precision', 'arithmetic of the network'))
    parser.add_argument('--threads', type=int, help=_instead_of_file(
        'threads', "of the network on the CPU; 0 for torch's own choice"))
    parser.add_argument('--order-by', choices=ORDERS, default='log', help='time of a message: that of its recording, '
                        'or the stamp in its header, for converted or simulated bags (default: %(default)s)')
    parser.add_argument('--no-results-bag', action='store_true', help='do not write label maps and overlays as a bag')
    parser.add_argument('--hash-bag', action='store_true', help='hash all of the bag, not samples of it')


def run(arguments: Namespace) -> int:
    """Replay and print what came of it.

    Returns:
        The exit status: 0 if all was read, 3 if a part of it could not be read, 130 after Ctrl-C.
    """
    settings = load_settings(arguments.params_file) if arguments.params_file else NodeSettings()
    with (BagReader(arguments.bag, decoding=settings.decoding(), order_by=arguments.order_by) as bag,
          _stop_request() as should_stop):
        options = _options(arguments, bag, settings)
        session = ReplaySession(options, bag)
        said = list(bag.damage)
        _warn(said)
        with tqdm(total=session.total, unit='image', file=sys.stderr) as progress:
            summary = session.run(should_stop=should_stop, on_progress=progress.update)
    _warn(line for line in warnings(summary) if line not in said)
    score = '' if summary['miou'] is None else f', mIoU {summary["miou"]:.3f}'
    print(f'{summary["bundles"]} bundles, {summary["missed"]} of {summary["expected"]} leading images missed{score}')
    print(options.out / 'report.html')
    if not summary['complete']:
        return 130
    return READ_IN_PART if is_read_in_part(summary) else 0


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        print(f'warning: {line}', file=sys.stderr)


def _options(arguments: Namespace, bag: BagReader, settings: NodeSettings) -> ReplayOptions:
    auxiliary = arguments.auxiliary
    if not (auxiliary or arguments.params_file or arguments.checkpoint):
        auxiliary = str(find_auxiliary(bag))
    named = {'modality': auxiliary, 'restore': arguments.restore, 'device': arguments.device,
             'precision': arguments.precision, 'threads': arguments.threads}
    values = settings.as_parameters() | {name: value for name, value in named.items() if value is not None}
    settings = parse_settings(values, where='command line')
    checkpoint = None if arguments.sync_only else checkpoint_path(
        arguments.checkpoint or settings.checkpoint, settings.auxiliary)
    topics: dict[ImageContent, str | None] = {Modality.RGB: arguments.rgb_topic, LABELS: arguments.labels_topic}
    topics |= {modality: arguments.aux_topic for modality in AUXILIARY_MODALITIES}
    return ReplayOptions(
        bag=arguments.bag, out=arguments.out or _folder_beside(arguments.bag), checkpoint=checkpoint,
        topics=topics, labels_folder=arguments.labels_dir,
        label_tolerance_s=arguments.label_tolerance_s, faults=arguments.inject, seed=arguments.seed, settings=settings,
        write_results=not arguments.no_results_bag, hash_bag=arguments.hash_bag, overwrite=arguments.overwrite,
        command=('rsgmamba', *sys.argv[1:]))


def _folder_beside(bag: Path) -> Path:
    bag = bag.absolute()
    return bag.with_name(f'{bag.name if bag.is_dir() else bag.stem}_replay')


def _instead_of_file(name: str, text: str) -> str:
    return f"{text} (default: that of the parameter file, else {PARAMETERS[name].default})"


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """A question whether Ctrl-C was pressed; pressed a second time, it acts at once."""
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        print('\nstopping; the results so far are being written', file=sys.stderr)

    earlier = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, earlier)
