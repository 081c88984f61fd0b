"""`rsgmamba evaluate`: score a checkpoint on a dataset, with and without sensor failures."""
from __future__ import annotations

import argparse
from pathlib import Path
import sys

import numpy as np
from tqdm import tqdm

from rsgmamba_ros.data.datasets import open_dataset
from rsgmamba_ros.evaluation.protocols import conditions_of, PROTOCOLS, SEVERITIES
from rsgmamba_ros.evaluation.report import draw_panels, draw_pictures, markdown, write_summary
from rsgmamba_ros.evaluation.scoring import check_fit, score_conditions, summarise
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.ops.cpu.threads import use_threads
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.pipeline.segmenter_config import SegmenterConfig
from rsgmamba_ros.vocabulary.images import Modality


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rsgmamba evaluate`."""
    parser.add_argument('--checkpoint', required=True, help='a file, or the name of a shipped network')
    parser.add_argument('--data', required=True, help="dataset folder, or 'synthetic' for rendered rooms")
    parser.add_argument('--split', default='', help='list of samples in the folder: a file, or its name without .txt; '
                        "of synthetic rooms 'val' or 'test' (default: the layout's own test list)")
    parser.add_argument('--dataset', help="the layout and label space: a name or file of config/datasets "
                        '(default: recognised from the folder)')
    parser.add_argument('--protocol', choices=list(PROTOCOLS), default='clean')
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
