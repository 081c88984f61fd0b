"""Networks on disk: our own format, and VMamba's ImageNet weights.

Our format is one .safetensors file; config, label space, preprocessing, calibration and free information are JSON in
its metadata, with a version. Nothing in a file is executed, and nothing is trusted before it is checked.
"""
from __future__ import annotations

from dataclasses import asdict, dataclass, field
import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
import torch
from torch import nn, Tensor

from rsgmamba_ros.network.config import RSGMambaConfig
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.vocabulary.config_file import parse_config
from rsgmamba_ros.vocabulary.errors import CheckpointError, ConfigError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

FORMAT = 'rsgmamba_ros'
VERSION = '2'
MAX_HEADER_BYTES = 16 * 2 ** 20
MAX_FILE_BYTES = 4 * 2 ** 30
SHOWN = 8  # at most so many names in an error

Metadata = TypeVar('Metadata', RSGMambaConfig, LabelSpace, PreprocessingConfig)
#: Modality's value -> `x` and `y` -> the knots of a piecewise linear map.
Calibration = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network and what is needed to use it.

    Attributes:
        network: in evaluation mode after loading.
        labels: the classes.
        preprocessing: what the network expects of its input.
        calibration: for each modality's value `{'x': logits, 'y': reliabilities}`, the map from the reliability logit
            to the published reliability; empty for the sigmoid.
        info: free, JSON-able: data, command, seed, metrics.
    """

    network: RSGMamba
    labels: LabelSpace
    preprocessing: PreprocessingConfig = field(default_factory=PreprocessingConfig)
    calibration: Calibration = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def auxiliary(self) -> Modality:
        """What the second image shows."""
        return self.network.config.auxiliary


def save_checkpoint(path: str | Path, checkpoint: Checkpoint, *, dtype: torch.dtype = torch.float16) -> None:
    """Write a checkpoint; the file appears complete or not at all.

    Args:
        dtype: of matrices and convolutions; vectors and A_logs stay float32, they are small and sensitive.

    Raises:
        CheckpointError: the file cannot be written, or label space and network do not fit.
    """
    path = Path(path)
    if len(checkpoint.labels) != checkpoint.network.config.classes:
        raise CheckpointError(f'{len(checkpoint.labels)} labels for a network of '
                              f'{checkpoint.network.config.classes} classes')
    tensors = {name: tensor.detach().to('cpu', torch.float32 if _stays_float32(name, tensor) else dtype).contiguous()
               for name, tensor in checkpoint.network.state_dict().items()}
    parts = {'config': asdict(checkpoint.network.config), 'labels': asdict(checkpoint.labels),
             'preprocessing': asdict(checkpoint.preprocessing), 'calibration': checkpoint.calibration,
             'info': checkpoint.info}
    metadata = {name: json.dumps(value, sort_keys=True) for name, value in parts.items()}
    metadata |= {'format': FORMAT, 'version': VERSION}
    unfinished = path.with_name(path.name + '.unfinished')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, unfinished, metadata=metadata)
        unfinished.replace(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f'cannot write {path}: {error}') from error


def load_checkpoint(path: str | Path, *, device: str | torch.device = 'cpu') -> Checkpoint:
    """Read a checkpoint; weights become float32, the network is in evaluation mode.

    Raises:
        CheckpointError: the file is missing, damaged, not of this format or version, or its tensors do not fit its
            config; the message lists what does not fit.
    """
    path = Path(path)
    metadata = read_metadata(path)
    config = _parse(path, metadata, 'config', RSGMambaConfig)
    labels = _parse(path, metadata, 'labels', LabelSpace)
    if len(labels) != config.classes:
        raise CheckpointError(f'{path}: {len(labels)} labels for a network of {config.classes} classes')
    preprocessing = _parse(path, metadata, 'preprocessing', PreprocessingConfig)
    try:
        with torch.device('meta'):  # shapes only, until the file's tensors are known to fit
            network = RSGMamba(config)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f'{path}: its config gives no network: {" ".join(str(error).split())[:300]}') from error
    load_strictly(network, _read_tensors(path), str(path))
    return Checkpoint(network.to(device).eval(), labels, preprocessing, _calibration(path, metadata, network),
                      _json_object(path, metadata, 'info'))


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a checkpoint, without its tensors.

    Raises:
        CheckpointError: see `load_checkpoint`.
    """
    header = _read_header(path)
    metadata = header.get('__metadata__')
    if not isinstance(metadata, dict) or metadata.get('format') != FORMAT:
        raise CheckpointError(f'{path}: a safetensors file, but not a checkpoint of this package (its metadata has no '
                              f'format {FORMAT!r}); weights of VMamba are given to training, not loaded as checkpoint')
    if metadata.get('version') != VERSION:
        raise CheckpointError(f'{path}: format version {metadata.get("version")!r}; this release reads {VERSION!r}')
    return metadata


def load_strictly(module: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Give a module tensors of exactly its names and shapes, as float32; 1x1 convolutions fit linear layers.

    Raises:
        CheckpointError: the list of what is missing, left over, of another shape, or not finite.
    """
    expected = module.state_dict()
    problems = [f'{name} is missing' for name in expected if name not in tensors]
    problems += [f'{name} is left over' for name in tensors if name not in expected]
    fitting = {}
    for name, target in expected.items():
        if name not in tensors:
            continue
        tensor = tensors[name]
        if tensor.ndim == target.ndim + 2 and tensor.shape[-2:] == (1, 1):
            tensor = tensor.flatten(-3)
        if tensor.shape != target.shape:
            problems.append(f'{name} is {tuple(tensor.shape)}, expected {tuple(target.shape)}')
        elif not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
            problems.append(f'{name} holds values that are no finite numbers')
        fitting[name] = tensor.to(torch.float32, copy=True)  # out of the mapped file, aligned
    if problems:
        more = f'; and {len(problems) - SHOWN} more' if len(problems) > SHOWN else ''
        raise CheckpointError(f'{source}: the tensors do not fit the network: {"; ".join(problems[:SHOWN])}{more}')
    module.load_state_dict(fitting, assign=True)


def read_vmamba(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a VMamba classification checkpoint, .pth (under `model`) or .safetensors, `classifier.*` dropped.

    Raises:
        CheckpointError: the file is missing or damaged, or holds more than tensors.
    """
    path = Path(path)
    if path.suffix == '.safetensors':
        _read_header(path)
        state = _read_tensors(path)
    else:
        try:
            content = torch.load(path, map_location='cpu', weights_only=True)
        except Exception as error:  # the unpickler raises what it likes on a damaged file
            reason = ' '.join(str(error).split())[:300]
            raise CheckpointError(f'cannot read {path} as tensors only: {reason}') from error
        found = content.get('model', content) if isinstance(content, dict) else None
        if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
            raise CheckpointError(f'{path}: expected a state dict, or one under the key "model"')
        state = found
    return {name: tensor for name, tensor in state.items() if not name.startswith('classifier.')}


def load_vmamba(network: RSGMamba, path: str | Path) -> None:
    """Start the encoder from VMamba's ImageNet weights; only its output norms keep their initial values.

    Raises:
        CheckpointError: the file does not fit; the message lists what does not.
    """
    norms = {name: tensor for name, tensor in network.encoder.state_dict().items() if name.startswith('outnorm')}
    load_strictly(network.encoder, norms | read_vmamba(path), str(path))


def _stays_float32(name: str, tensor: Tensor) -> bool:
    return tensor.ndim < 2 or name.endswith('A_logs')


def _read_header(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        if not 8 < size <= MAX_FILE_BYTES:
            raise CheckpointError(f'{path}: {size} bytes; a safetensors file has 9 to {MAX_FILE_BYTES}')
        with path.open('rb') as file:
            length = int.from_bytes(file.read(8), 'little')
            if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
                raise CheckpointError(f'{path}: not a safetensors file, or cut short: its header would be '
                                      f'{length} bytes of {size}')
            header = json.loads(file.read(length))
    except OSError as error:
        raise CheckpointError(f'cannot read {path}: {error.strerror}') from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f'{path}: damaged: its header is no JSON ({error})') from error
    if not isinstance(header, dict):
        raise CheckpointError(f'{path}: damaged: its header is no JSON object')
    return header


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f'{path}: damaged: {error}') from error


def _json_object(path: Path, metadata: dict[str, str], name: str) -> dict[str, Any]:
    try:
        value = json.loads(metadata.get(name, '{}'))
    except json.JSONDecodeError as error:
        raise CheckpointError(f'{path}: {name} in its metadata is no JSON: {error}') from error
    if not isinstance(value, dict):
        raise CheckpointError(f'{path}: {name} in its metadata is {type(value).__name__}, expected an object')
    return value


def _calibration(path: Path, metadata: dict[str, str], network: RSGMamba) -> Calibration:
    calibration = _json_object(path, metadata, 'calibration')
    for name, knots in calibration.items():
        if name not in map(str, network.axis):
            raise CheckpointError(f'{path}: calibration of {name!r}; the network has {list(map(str, network.axis))}')
        try:
            x, y = (np.array(knots[axis], np.float64) for axis in 'xy')
            is_map = x.ndim == 1 and 0 < len(x) == len(y) and bool(np.isfinite(x).all())
            is_sound = is_map and bool((np.diff(x) >= 0).all() and (np.diff(y) >= 0).all() and (y >= 0).all()
                                       and (y <= 1).all())
        except (KeyError, TypeError, ValueError):
            is_sound = False
        if not is_sound:
            raise CheckpointError(f'{path}: calibration of {name} must have as many logits x as reliabilities y, both '
                                  'rising, and y in 0..1')
    return calibration


def _parse(path: Path, metadata: dict[str, str], name: str, kind: type[Metadata]) -> Metadata:
    try:
        return parse_config(_json_object(path, metadata, name), kind, where=f'{path}: {name}')
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
