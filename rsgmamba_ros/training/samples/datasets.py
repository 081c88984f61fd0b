"""The training and the held-out part of the data that a training names."""
from __future__ import annotations

import os

from rsgmamba_ros.data.folder_dataset import FolderDataset
from rsgmamba_ros.data.layouts import load_layout
from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.data.synthetic.dataset import SyntheticDataset
from rsgmamba_ros.training.config import FolderData, TrainingConfig
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality


def open_datasets(config: TrainingConfig) -> tuple[Dataset, Dataset]:
    """Open (or render) the training and the validation samples.

    Raises:
        ConfigError: the folder's layout is unknown.
        DatasetError: the data cannot be used.
    """
    if config.folder is not None:
        return _open_folder(config.folder, config.auxiliary)
    if config.synthetic is None:
        raise ConfigError("the training names no data; give 'synthetic' or 'folder'")
    data, processes = config.synthetic, os.cpu_count() or 1
    rooms = ((data.first_seed, data.rooms), (data.validation_seed, data.validation_rooms))
    training, validation = (SyntheticDataset(config.auxiliary, first_seed=first, rooms=count, cache=data.cache,
                                             processes=processes) for first, count in rooms)
    return training, validation


def _open_folder(data: FolderData, auxiliary: Modality) -> tuple[Dataset, Dataset]:
    layout = load_layout(data.layout)
    if layout.auxiliary is not auxiliary:
        raise ConfigError(f'the layout {data.layout!r} has {layout.auxiliary} beside rgb, '
                          f'the training wants {auxiliary}')
    training, validation = (FolderDataset(data.path, layout, split=split) for split in (data.training, data.validation))
    return training, validation
