"""`rsgmamba evaluate`: score a checkpoint on a dataset, with and without sensor failures."""
from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
import sys

import numpy as np
from tqdm import tqdm

from rsgmamba_ros.data.datasets import open_dataset
from rsgmamba_ros.evaluation.protocols import conditions_of, PROTOCOLS, SEVERITIES
from rsgmamba_ros.evaluation.report import draw_panels, draw_pictures, markdown, write_sensors, write_summary
from rsgmamba_ros.evaluation.scoring import check_fit, score_conditions, summarise
from rsgmamba_ros.evaluation.sensors import score_sensor, sensor_names, SensorProtocol, SensorResult
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.ops.cpu.threads import use_threads
from rsgmamba_ros.pipeline.profiling import REFERENCE_IMAGES
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.pipeline.segmenter_config import SegmenterConfig
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

#: The protocol that scores many cameras instead of one dataset.
SENSORS = 'sensors'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rsgmamba evaluate`."""
    parser.add_argument('--checkpoint', required=True, help='a file, or the name of a shipped network')
    parser.add_argument('folders', nargs='*', help='of the protocol sensors: a folder of images of each sensor')
    parser.add_argument('--data', help="dataset folder, or 'synthetic' for rendered rooms; of the other protocols")
    parser.add_argument('--split', default='', help='list of samples in the folder: a file, or its name without .txt; '
                        "of synthetic rooms 'val' or 'test' (default: the layout's own test list)")
    parser.add_argument('--dataset', help="the layout and label space: a name or file of config/datasets "
                        '(default: recognised from the folder)')
    parser.add_argument('--protocol', choices=[*PROTOCOLS, SENSORS], default='clean',
                        help='sensors: reliability on other cameras, with and without a profile of their first images')
    parser.add_argument('--profile-images', type=int, default=REFERENCE_IMAGES, help='of the protocol sensors: first '
                        'images that a profile is made of, and that are not scored (default: %(default)s)')
    parser.add_argument('--severities', type=int, nargs='+', choices=SEVERITIES, default=list(SEVERITIES))
    parser.add_argument('--limit', type=int, default=0, help='use so many samples, evenly spaced; 0 for all')
    parser.add_argument('--seed', type=int, default=0, help='of the corruptions')
    parser.add_argument('--out', type=Path, default=Path('out/evaluate'))
    parser.add_argument('--device', default='auto')
    parser.add_argument('--precision', default='auto')
    parser.add_argument('--restore', action='store_true', help='repair images of low reliability first, as the node '
                        'does with the parameter restore')
    parser.add_argument('--late-fusion', action=argparse.BooleanOptionalAction, default=True,
                        help="as the node's parameter late_fusion")
    parser.add_argument('--threads', type=int, default=0, help="of torch; 0 for torch's own choice")


def run(arguments: argparse.Namespace) -> None:
    """Evaluate, write the results, print the summary."""
    use_threads(arguments.threads)
    checkpoint = checkpoint_path(arguments.checkpoint, Modality.DEPTH)
    segmenter = Segmenter(checkpoint, device=arguments.device, precision=arguments.precision,
                          config=SegmenterConfig(restore=arguments.restore, late_fusion=arguments.late_fusion))
    if arguments.protocol == SENSORS:
        _evaluate_sensors(arguments, segmenter, checkpoint.name)
        return
    if not arguments.data or arguments.folders:
        raise ConfigError('name the dataset with --data; folders alone are for --protocol sensors')
    dataset = open_dataset(arguments.data, split=arguments.split, layout=arguments.dataset,
                           auxiliary=segmenter.auxiliary, names=segmenter.labels.names)
    check_fit(segmenter, dataset)
    count = min(arguments.limit or len(dataset), len(dataset))
    indices = np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist()
    conditions = conditions_of(arguments.protocol, dataset.auxiliary, severities=arguments.severities,
                               has_earlier=dataset[indices[0]].earlier is not None)
    scores = score_conditions(
        segmenter, dataset, conditions, indices=indices, seed=arguments.seed,
        progress=lambda items: tqdm(items, desc=f'{len(conditions)} conditions', unit='sample', file=sys.stderr))
    info = {'checkpoint': checkpoint.name, 'data': str(arguments.data), 'split': arguments.split,
            'samples': len(indices), 'protocol': arguments.protocol, 'seed': arguments.seed,
            'restore': arguments.restore, 'late_fusion': segmenter.engine.network.late_fusion}
    summary = summarise(scores, segmenter.modalities)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_summary(arguments.out, summary, scores, info)
    text = markdown(summary, scores, dataset.labels, info)
    (arguments.out / 'results.md').write_text(text)
    draw_pictures(arguments.out, scores, dataset.labels)
    shown = [condition for condition in conditions if condition.severity in (0, 3)][:6]
    draw_panels(arguments.out, segmenter, dataset, shown, indices=indices[:2], seed=arguments.seed)
    print(text.split('\n| condition')[0])
    print(f'written to {arguments.out}', file=sys.stderr)


def _evaluate_sensors(arguments: argparse.Namespace, segmenter: Segmenter, checkpoint: str) -> None:
    """Score every folder, write the results, print the table."""
    protocol = SensorProtocol(tuple(arguments.severities), arguments.profile_images, arguments.limit, arguments.seed)
    results: list[SensorResult] = []
    for folder, name in zip(arguments.folders, sensor_names(arguments.folders)):
        dataset = open_dataset(folder, split=arguments.split, layout=arguments.dataset, auxiliary=segmenter.auxiliary,
                               names=segmenter.labels.names)
        scored, reason = score_sensor(segmenter, dataset, name, protocol,
                                      progress=partial(tqdm, desc=name, unit='sample', file=sys.stderr))
        results += scored
        if reason:
            print(f'{name}: only by the prior: {reason}', file=sys.stderr)
    info = {'checkpoint': checkpoint, 'protocol': SENSORS, 'severities': list(protocol.severities),
            'profile_images': protocol.profile_images, 'limit': protocol.limit, 'seed': protocol.seed}
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(write_sensors(arguments.out, results, info), end='')
    print(f'written to {arguments.out}', file=sys.stderr)
