"""The networks that come with the package, by name."""
from __future__ import annotations

from pathlib import Path

from rsgmamba_ros.vocabulary.errors import CheckpointError
from rsgmamba_ros.vocabulary.images import Modality

#: Each has a model card beside it.
FOLDER = Path(__file__).resolve().parents[1] / 'checkpoints'

#: What is used where nothing is named: what was trained on images of real sensors.
DEFAULTS = {Modality.DEPTH: 'lite_nyuv2_13', Modality.THERMAL: 'lite_msrs_3'}

#: What knows the rendered rooms of the demo.
SYNTHETIC = {Modality.DEPTH: 'nano_synthetic_depth', Modality.THERMAL: 'nano_synthetic_thermal'}


def checkpoint_path(name: str, auxiliary: Modality, *, folder: Path = FOLDER) -> Path:
    """Find a checkpoint.

    Args:
        name: a file, the name of a shipped network, or nothing for the default of the modality.

    Raises:
        CheckpointError: there is none of that name.
    """
    if name and (path := Path(name).expanduser()).is_file():
        return path
    shipped = folder / f'{name or DEFAULTS[auxiliary]}.safetensors'
    if shipped.is_file():
        return shipped
    known = sorted(path.stem for path in folder.glob('*.safetensors'))
    raise CheckpointError(f'checkpoint {name or shipped.stem!r} is neither a file nor one of the shipped {known}')
