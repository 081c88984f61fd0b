"""What a training was made from, kept beside its checkpoint, so that no result of another training is used for it.

A folder of a training holds `origin.json`: the resolved configuration, digests of the training and validation data, and
digests of the weights that the training starts from or is taught by.
"""
from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.network.checkpoint import load_checkpoint
from rsgmamba_ros.training.config import TrainingConfig
from rsgmamba_ros.training.fingerprints import file_digest, fingerprint, json_digest, resolved_config
from rsgmamba_ros.training.trainer import CHECKPOINT, STATE
from rsgmamba_ros.training.weights.initial_weights import IMAGENET
from rsgmamba_ros.vocabulary.errors import CheckpointError

RECORD = 'origin.json'
#: JSON-able values by `config`, `data` and `weights`.
Origin = dict[str, Any]

_LOG = logging.getLogger(__name__)


def origin_of(config: TrainingConfig, dataset: Dataset, validation: Dataset) -> Origin:
    """The origin of a training, without the weights.

    Raises:
        ConfigError: the preset or a field of the network is unknown.
        DatasetError: a file of the data cannot be read.
    """
    return {'config': resolved_config(config),
            'data': {'training': dataset.digest, 'validation': validation.digest}}


def weights_of(config: TrainingConfig, teachers: Path) -> Origin:
    """Digests of the files of weights that a training reads.

    Args:
        teachers: folder that holds one with a checkpoint for each of `config.teachers`.

    Raises:
        CheckpointError: a file cannot be read.
    """
    files = {'start': config.start, 'encoder': config.encoder if str(config.encoder) != IMAGENET else None}
    files |= {f'teacher {name}': teachers / name / CHECKPOINT for name in config.teachers}
    return {'weights': {name: file_digest(path) for name, path in files.items() if path is not None}}


def check_origin(folder: Path, origin: Origin) -> None:
    """Check that a training which is to be resumed is the one that is asked for.

    Args:
        origin: the parts to compare. A folder without a record is not refused here.

    Raises:
        CheckpointError: a part differs; the message names it.
    """
    recorded = _read(folder)
    differing = [part for part in origin if part in recorded and recorded[part] != origin[part]]
    if (folder / STATE).exists() and differing:
        raise CheckpointError(f'{folder} holds a training with other {" and ".join(differing)}; '
                              'move it away, or train into another folder')


def set_aside_other(folder: Path, config: TrainingConfig, origin: Origin) -> None:
    """Rename a folder that holds another training than the one that is asked for; nothing is deleted.

    Raises:
        CheckpointError: the checkpoint in the folder is damaged.
    """
    if not any((folder / name).exists() for name in (CHECKPOINT, STATE)):
        return
    recorded = _read(folder)
    differing = [part for part in origin if recorded.get(part) != origin[part]]
    if not differing and _is_of_another_training(folder / CHECKPOINT, config):
        differing = ['checkpoint']
    if differing:
        kept = _free_name(folder, json_digest(recorded)[:8])
        folder.rename(kept)
        _LOG.warning('%s holds a training with other %s: kept as %s and trained again', folder, ' and '.join(differing),
                     kept.name)


def write_origin(folder: Path, origin: Origin) -> None:
    """Record the origin of the training that starts in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f'{RECORD}.unfinished'
    unfinished.write_text(json.dumps(origin, indent=1, sort_keys=True) + '\n')
    os.replace(unfinished, folder / RECORD)


def _is_of_another_training(checkpoint: Path, config: TrainingConfig) -> bool:
    if not checkpoint.exists():
        return False
    return bool(load_checkpoint(checkpoint).info.get('config') != json.loads(fingerprint(config)))


def _read(folder: Path) -> Origin:
    """The recorded origin; empty where there is none that can be read, which equals no origin."""
    try:
        recorded = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return recorded if isinstance(recorded, dict) else {}


def _free_name(folder: Path, suffix: str) -> Path:
    names = [folder.with_name(f'{folder.name}.{suffix}')]
    while names[-1].exists():
        names.append(folder.with_name(f'{folder.name}.{suffix}.{len(names)}'))
    return names[-1]
