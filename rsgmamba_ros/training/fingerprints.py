"""What makes two trainings, or two files, the same."""
from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass, MISSING
from hashlib import sha256
import json
from pathlib import Path
from typing import Any

import torch

from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.training.config import TrainingConfig
from rsgmamba_ros.vocabulary.errors import CheckpointError

#: What may change between a training and its resumption.
FREE_FIELDS = ('device', 'workers', 'threads', 'save_every', 'log_every')


def fingerprint(config: TrainingConfig) -> str:
    """What a training can be resumed with: every field that differs from its default, as JSON.

    A field that a later version adds does not change it.
    """
    return json.dumps(_given(config), sort_keys=True, default=str)


def _given(config: Any) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        if value != default and item.name not in FREE_FIELDS:
            parts = value if isinstance(value, tuple) else (value,)
            nested = [_given(part) if is_dataclass(part) else part for part in parts]
            given[item.name] = nested if isinstance(value, tuple) else nested[0]
    return given


def resolved_config(config: TrainingConfig) -> dict[str, Any]:
    """Every field of a training and of its network, defaults and preset included, as plain JSON values.

    Raises:
        ConfigError: the preset or a field of the network is unknown.
    """
    with torch.device('meta'):
        # The number of classes comes from the data, which have a digest of their own.
        network = create_network(config.preset, classes=1, auxiliary=config.auxiliary, fusion=config.fusion_name,
                                 **config.network).config
    values = {name: value for name, value in asdict(config).items() if name not in FREE_FIELDS}
    plain: dict[str, Any] = json.loads(json.dumps(values | {'network': asdict(network)}, default=str))
    return plain


def file_digest(path: Path) -> str:
    """SHA-256 of a file of weights, hexadecimal.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f'cannot read {path}: {error.strerror}') from error


def json_digest(value: Any) -> str:
    """SHA-256 of a JSON-able value, hexadecimal; the order of keys does not matter."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
