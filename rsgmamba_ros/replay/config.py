"""The node's parameter file -> the settings of a replay, so that one file configures both."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
import math
from pathlib import Path

import yaml

from rsgmamba_ros.pipeline.node_settings import NodeSettings, PARAMETERS, parse_settings, Value
from rsgmamba_ros.vocabulary.errors import ConfigError

#: The node's name as it is published; a parameter file for several nodes is read for this one.
_NODE = 'segmentation'
#: Parameters that every ROS 2 node has. They are no concern of a replay.
_OF_EVERY_NODE = ('use_sim_time', 'start_type_description_service', 'qos_overrides')
#: Recorded elsewhere in a summary, or without effect on what is decided.
_NOT_RECORDED = ('modality', 'device', 'precision', 'threads', 'overlay_alpha')


def load_settings(path: str | Path) -> NodeSettings:
    """Read a ROS 2 parameter file (`node: ros__parameters: ...`).

    Raises:
        ConfigError: it is no such file, a parameter is unknown, or a value has the wrong type or range.
    """
    try:
        document = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f'cannot read the parameter file {str(path)!r}: {" ".join(str(error).split())}') from error
    sections = list(_sections(document))
    if not sections:
        raise ConfigError(f'{path} is no ROS 2 parameter file: it has no key ros__parameters')
    # A single section may have any name: the node can be renamed.
    own = [section for name, section in sections if len(sections) == 1 or name in (_NODE, '*', '**')]
    if not own:
        raise ConfigError(f'{path} has parameters of {[name for name, _ in sections]}, but none of {_NODE!r}')
    values = {name: value for section in own for name, value in _flat(section)}
    return parse_settings({name: value for name, value in values.items() if name.split('.')[0] not in _OF_EVERY_NODE},
                          where=str(path))


def recorded_settings(settings: NodeSettings) -> dict[str, Value | None]:
    """The parameters that decide the results of a replay, for its summary; None for those that are not set (NaN)."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in settings.as_parameters().items()
            if not PARAMETERS[name].node_only and name not in _NOT_RECORDED}


def _sections(document: object, name: str = '') -> Iterator[tuple[str, Mapping[object, object]]]:
    """The parameters of each node, and the last part of its name."""
    if not isinstance(document, dict):
        return
    for key, value in document.items():
        if key != 'ros__parameters':
            yield from _sections(value, str(key).rpartition('/')[2])
        elif value is None or isinstance(value, dict):
            yield name, value or {}


def _flat(section: Mapping[object, object], prefix: str = '') -> Iterator[tuple[str, object]]:
    """Parameters by their full names: `rgb: {transport: raw}` is `rgb.transport`."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value
