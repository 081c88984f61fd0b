"""`rsgmamba export`: a checkpoint as ONNX or torch.export programs, with a parity report."""
from __future__ import annotations

import argparse
from dataclasses import asdict
import json
from pathlib import Path
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from rsgmamba_ros.data.datasets import open_dataset
from rsgmamba_ros.network.checkpoint import Checkpoint, load_checkpoint
from rsgmamba_ros.network.export import CASES, compare, export_onnx, export_program, onnx_runner, program_runner
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.pipeline.preprocessing import stack_inputs
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

FORMATS = {'onnx': '.onnx', 'pt2': '.pt2'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rsgmamba export`."""
    parser.add_argument('--checkpoint', required=True, help='a file, or the name of a shipped network')
    parser.add_argument('--out', type=Path, required=True, help='folder for the files')
    parser.add_argument('--format', choices=list(FORMATS), nargs='+', default=['onnx'])
    parser.add_argument('--case', choices=list(CASES), nargs='+', default=list(CASES),
                        help='which modalities are there; one file each (default: all three)')
    parser.add_argument('--data', default='synthetic', help="images for the parity report: a dataset folder, or "
                        "'synthetic' (default)")
    parser.add_argument('--count', type=int, default=20, help='of these images (default: %(default)s)')


def run(arguments: argparse.Namespace) -> None:
    """Export every case, compare each with eager mode, write `export.json` beside the files."""
    checkpoint = load_checkpoint(checkpoint_path(arguments.checkpoint, Modality.DEPTH))
    config = checkpoint.preprocessing
    images = _inputs(checkpoint, config, arguments.data, arguments.count)
    arguments.out.mkdir(parents=True, exist_ok=True)
    content = {'labels': list(checkpoint.labels.names), 'auxiliary': checkpoint.auxiliary.value,
               'preprocessing': asdict(config), 'calibration': checkpoint.calibration}
    metadata = {name: json.dumps(value) for name, value in content.items()}
    files: dict[str, dict[str, Any]] = {}
    tasks = [(kind, case) for kind in arguments.format for case in arguments.case]
    for kind, case in tqdm(tasks, desc='export', unit='file', file=sys.stderr):
        path = arguments.out / f'{case}{FORMATS[kind]}'
        if kind == 'onnx':
            export_onnx(checkpoint.network, case, *config.padded_size, path=path, metadata=metadata)
        else:
            torch.export.save(export_program(checkpoint.network, case, *config.padded_size), path)
        runner = onnx_runner(path) if kind == 'onnx' else program_runner(path)
        files[path.name] = asdict(compare(checkpoint.network, case, runner, images))
    (arguments.out / 'export.json').write_text(json.dumps({**content, 'files': files}, indent=1), encoding='utf-8')
    print(f'{"file":<18}{"MB":>7}{"label agreement":>17}{"max logit diff":>16}{"max reliability diff":>22}')
    for name, parity in files.items():
        size = (arguments.out / name).stat().st_size / 1e6
        print(f'{name:<18}{size:>7.1f}{parity["label_agreement"]:>17.5f}{parity["logit_difference"]:>16.2e}'
              f'{parity["reliability_difference"]:>22.2e}')


def _inputs(checkpoint: Checkpoint, config: PreprocessingConfig, data: str, count: int) -> list[Tensor]:
    rgb, auxiliary = checkpoint.network.axis
    dataset = open_dataset(data, auxiliary=checkpoint.auxiliary)  # of any classes: only the images are used
    indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int).tolist()
    samples = (dataset[index] for index in indices)
    return [stack_inputs({rgb: sample.rgb, auxiliary: sample.auxiliary}, config,
                         modalities=checkpoint.network.axis)[0] for sample in samples]
