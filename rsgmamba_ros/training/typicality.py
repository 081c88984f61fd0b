"""Telling a reliability head what clean auxiliary images of a training look like: fitted, not learned."""
from __future__ import annotations

import numpy as np
import torch

from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.network.typicality import Typicality
from rsgmamba_ros.pipeline.preprocessing import network_input, PreprocessingConfig
from rsgmamba_ros.training.validation import spread

#: Images of the training that are looked at, as many as there are at most.
IMAGES = 256


def forget_typicality(network: RSGMamba) -> None:
    """Take back what a network knows, as before a training on images of another sensor."""
    typicality = _typicality_of(network)
    if typicality is not None:
        typicality.forget()


def fit_typicality(networks: tuple[RSGMamba, ...], dataset: Dataset, preprocessing: PreprocessingConfig) -> None:
    """Tell those networks that do not know it yet, and whose head asks for it."""
    unfitted = [typicality for typicality in map(_typicality_of, networks)
                if typicality is not None and not typicality.is_fitted]
    if unfitted:
        images = torch.from_numpy(np.stack([network_input(sample.auxiliary, dataset.auxiliary, preprocessing)
                                            for sample in spread(dataset, IMAGES)]))
        for typicality in unfitted:
            typicality.fit(images.to(typicality.centre.device))


def _typicality_of(network: RSGMamba) -> Typicality | None:
    return network.reliability_head.typicality if network.reliability_head is not None else None
