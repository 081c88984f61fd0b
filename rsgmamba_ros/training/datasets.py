"""The training and the held-out part of the data that a training names."""
from __future__ import annotations

import os

from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.data.synthetic_dataset import SyntheticDataset
from rsgmamba_ros.training.config import TrainingConfig
from rsgmamba_ros.vocabulary.errors import ConfigError


def open_datasets(config: TrainingConfig) -> tuple[Dataset, Dataset]:
    """Open (or render) the training and the validation samples.

    Raises:
        ConfigError: no data is named.
        DatasetError: the data cannot be used.
    """
    if config.synthetic is None:
        raise ConfigError("the training names no data; give 'synthetic'")
    data, processes = config.synthetic, os.cpu_count() or 1
    rooms = ((data.first_seed, data.rooms), (data.validation_seed, data.validation_rooms))
    training, validation = (SyntheticDataset(config.auxiliary, first_seed=first, rooms=count, cache=data.cache,
                                             processes=processes) for first, count in rooms)
    return training, validation
