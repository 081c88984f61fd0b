"""What a replay takes from the node's parameter file, so that one file configures both."""
from __future__ import annotations

from dataclasses import dataclass, fields
import math
from pathlib import Path
from typing import Any

import yaml

from rsgmamba_ros.pipeline.synchronisation.config import SynchroniserConfig
from rsgmamba_ros.vocabulary.config_file import parse_config
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality


@dataclass(frozen=True)
class ReplayConfig:
    """The node's parameters that decide results, by the node's names; see its parameter file for what they mean."""

    max_skew_s: float = SynchroniserConfig.max_skew_s
    max_wait_s: float = SynchroniserConfig.max_wait_s
    lead_with_auxiliary: bool = SynchroniserConfig.lead_with_auxiliary
    min_signal_quality: float = 0.1
    restore: bool = False
    late_fusion: bool = True
    output_height: int = 0
    output_width: int = 0
    thermal_scale: float | None = None
    thermal_offset: float | None = None

    def synchroniser(self, modalities: tuple[Modality, ...]) -> SynchroniserConfig:
        """The synchroniser's part. The first modality leads."""
        return SynchroniserConfig(leader=modalities[0], modalities=modalities, max_skew_s=self.max_skew_s,
                                  max_wait_s=self.max_wait_s, lead_with_auxiliary=self.lead_with_auxiliary)


def load_replay_config(path: str | Path) -> ReplayConfig:
    """Read a ROS 2 parameter file (`node: ros__parameters: ...`); parameters that are the node's alone are left out.

    Raises:
        ConfigError: it is no such file, or a value has the wrong type or range.
    """
    try:
        document = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f'cannot read the parameter file {str(path)!r}: {" ".join(str(error).split())}') from error
    parameters = _parameters(document)
    if parameters is None:
        raise ConfigError(f'{path} is no ROS 2 parameter file: it has no key ros__parameters')
    names = {item.name for item in fields(ReplayConfig)}
    # NaN is the node's way to say "the checkpoint's own".
    own = {name: value for name, value in parameters.items()
           if name in names and not (isinstance(value, float) and math.isnan(value))}
    return parse_config(own, ReplayConfig, where=str(path))


def _parameters(document: Any) -> dict[str, Any] | None:
    """The first mapping under a key `ros__parameters`, however deep in node names and namespaces."""
    if not isinstance(document, dict):
        return None
    if isinstance(document.get('ros__parameters'), dict):
        return document['ros__parameters']
    return next((found for value in document.values() if (found := _parameters(value)) is not None), None)
