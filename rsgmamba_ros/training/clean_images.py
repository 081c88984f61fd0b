"""Telling a reliability head what clean images of a training look like: fitted, not learned."""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.network.expected_level import ExpectedLevel
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.network.typicality import Typicality
from rsgmamba_ros.pipeline.preprocessing import network_input, PreprocessingConfig
from rsgmamba_ros.training.validation import spread
from rsgmamba_ros.vocabulary.images import Modality

#: Images of the training that are looked at, as many as there are at most.
IMAGES = 1024


def forget_clean_images(network: RSGMamba) -> None:
    """Take back what a network knows of them, as before a training on images of another sensor."""
    for part in _fitted_parts(network):
        part.forget()


@torch.no_grad()
def fit_clean_images(network: RSGMamba, average: RSGMamba, dataset: Dataset,
                     preprocessing: PreprocessingConfig) -> None:
    """Tell a network and its average, if they do not know yet and the head asks for it.

    While the reliability is taught the average moves to the network, so both get what is fitted to the network.
    """
    parts = _fitted_parts(network)
    if all(part.is_fitted for part in parts):
        return
    device, was_training = next(network.parameters()).device, network.training
    features, auxiliary = [], []
    network.eval()
    for sample in spread(dataset, IMAGES):
        if network.reliability_head.expected_level is not None:
            rgb = _prepared(sample.rgb, Modality.RGB, preprocessing, device)
            features.append(network.encoder(rgb)[-1].mean((1, 2)))
        # Its channels are equal: one of them is kept.
        auxiliary.append(_prepared(sample.auxiliary, dataset.auxiliary, preprocessing, device)[:, :1])
    network.train(was_training)
    images = torch.cat(auxiliary)
    for part, averaged in zip(parts, _fitted_parts(average)):
        part.fit(*((torch.cat(features), images) if isinstance(part, ExpectedLevel) else (images,)))
        averaged.load_state_dict(part.state_dict())


def _prepared(values: np.ndarray, modality: Modality, preprocessing: PreprocessingConfig,
              device: torch.device) -> Tensor:
    return torch.from_numpy(network_input(values, modality, preprocessing))[None].to(device)


def _fitted_parts(network: RSGMamba) -> list[Typicality | ExpectedLevel]:
    head = network.reliability_head
    parts = (head.typicality, head.expected_level) if head is not None else ()
    return [part for part in parts if part is not None]
