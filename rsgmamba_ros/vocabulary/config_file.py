"""YAML files -> frozen dataclasses; an unknown key is an error that names the nearest known one."""
from __future__ import annotations

from dataclasses import fields, is_dataclass, MISSING
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
import types
from typing import Any, get_args, get_origin, get_type_hints, TYPE_CHECKING, TypeVar, Union

import yaml

from rsgmamba_ros.vocabulary.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar('Config', bound='DataclassInstance')


def load_config(path: str | Path, kind: type[Config]) -> Config:
    """Read a YAML file into a dataclass.

    Raises:
        ConfigError: the file is missing or no YAML, a key is unknown or missing, or a value has the wrong type.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'cannot read the configuration file {str(path)!r}: {error}') from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f'{path}: not valid YAML: {" ".join(str(error).split())}') from error
    return parse_config({} if values is None else values, kind, where=str(path))


def parse_config(values: Any, kind: type[Config], *, where: str = 'configuration') -> Config:
    """Build a dataclass from plain values (mappings, lists, scalars), checking keys and types.

    Args:
        where: what to call the source in an error.

    Raises:
        ConfigError: see `load_config`.
    """
    if not isinstance(values, dict):
        raise ConfigError(f'{where}: expected a mapping of {kind.__name__}, got {type(values).__name__}')
    accepted = {item.name: item for item in fields(kind) if item.init}
    hints = get_type_hints(kind)
    for key in values:
        if key not in accepted:
            near = get_close_matches(str(key), accepted, n=1, cutoff=0)
            raise ConfigError(f'{where}: unknown key {key!r}; did you mean {near[0]!r}? Known: {sorted(accepted)}')
    for name, item in accepted.items():
        if name not in values and item.default is MISSING and item.default_factory is MISSING:
            raise ConfigError(f'{where}: the key {name!r} is missing')
    arguments = {key: _convert(value, hints[key], f'{where}: {key}') for key, value in values.items()}
    try:
        return kind(**arguments)
    except ConfigError as error:
        raise ConfigError(f'{where}: {error}') from error


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin, parameters = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in parameters:
            return None
        choices = [choice for choice in parameters if choice is not type(None)]
        errors = []
        for choice in choices:
            try:
                return _convert(value, choice, where)
            except ConfigError as error:
                errors.append(error)
        raise errors[0]
    if isinstance(hint, type) and is_dataclass(hint):
        return parse_config(value, hint, where=where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f'{where}: expected a list, got {value!r}')
        if len(parameters) == 2 and parameters[1] is Ellipsis:
            return tuple(_convert(v, parameters[0], f'{where}[{i}]') for i, v in enumerate(value))
        if len(value) != len(parameters):
            raise ConfigError(f'{where}: expected {len(parameters)} values, got {len(value)}')
        return tuple(_convert(v, p, f'{where}[{i}]') for i, (v, p) in enumerate(zip(value, parameters)))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f'{where}: expected a mapping, got {value!r}')
        key_hint, value_hint = parameters
        return {_convert(k, key_hint, where): _convert(v, value_hint, f'{where}.{k}') for k, v in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            raise ConfigError(f'{where}: {value!r} is not one of {[str(m.value) for m in hint]}') from None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f'{where}: expected {hint.__name__}, got {value!r}')
    return value
