"""Telling a reliability head what clean images of a training look like: fitted, not learned."""
from __future__ import annotations

from math import log

import numpy as np
import torch
from torch import Tensor

from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.network.reliability.checks.alignment_check import with_shifts
from rsgmamba_ros.network.reliability.checks.edge_alignment import EdgeAlignment
from rsgmamba_ros.network.reliability.checks.floor_height import floor_share
from rsgmamba_ros.network.reliability.contract import ReferenceImages
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.pipeline.preprocessing import network_input
from rsgmamba_ros.pipeline.resampling import resize
from rsgmamba_ros.training.validation import spread
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import DepthLaw, NORMALISED_RANGE, PreprocessingConfig

#: Images of the training that are looked at, as many as there are at most.
IMAGES = 1024
#: Name of the class that carries the robot.
FLOOR = 'floor'


def forget_clean_images(network: RSGMamba) -> None:
    """Take back what a network knows of them, as before a training on images of another sensor."""
    for check in network.reliability_head.checks:
        check.forget()


@torch.no_grad()
def fit_clean_images(network: RSGMamba, average: RSGMamba, dataset: Dataset,
                     preprocessing: PreprocessingConfig) -> None:
    """Fit the checks of a network and of its average to clean images, unless all are fitted.

    While the reliability is taught the average moves to the network, so both get what is fitted to the network.
    """
    checks = network.reliability_head.checks
    if all(check.is_fitted for check in checks):
        return
    was_training = network.training
    network.eval()
    reference = reference_images(network, dataset, preprocessing)
    network.train(was_training)
    for check, averaged in zip(checks, average.reliability_head.checks):
        check.fit(reference)
        averaged.load_state_dict(check.state_dict())


def reference_images(network: RSGMamba, dataset: Dataset, preprocessing: PreprocessingConfig) -> ReferenceImages:
    """A dataset as the checks see it, on the network's device."""
    device, edge_alignment = next(network.parameters()).device, EdgeAlignment()
    floor = dataset.labels.names.index(FLOOR) if FLOOR in dataset.labels.names and dataset.is_labelled else None
    rng = np.random.default_rng(0)
    features, auxiliary, floors, edges, aligned = [], [], [], [], []
    for sample in spread(dataset, IMAGES):
        rgb = _prepared(sample.rgb, Modality.RGB, preprocessing, device)
        other = _prepared(sample.auxiliary, dataset.auxiliary, preprocessing, device)
        # Its channels are equal: one of them is kept.
        auxiliary.append(other[:, :1])
        features.append(network.encoder(rgb)[-2:])
        if floor is not None:
            resized = resize(sample.label_map, preprocessing.height, preprocessing.width, nearest=True)
            floors.append(floor_share(torch.from_numpy(resized).to(device), floor, (rgb.shape[-2], rgb.shape[-1])))
        for image, moved, is_aligned in with_shifts(rgb, other, rng):
            edges.append(edge_alignment(image, moved))
            aligned.append(float(is_aligned))
    return ReferenceImages(
        auxiliary=torch.cat(auxiliary), rgb_features=[torch.cat(stage) for stage in zip(*features)],
        floor=torch.stack(floors) if floors else None, log_distance_unit=_unit(dataset.auxiliary, preprocessing),
        edges=torch.cat(edges), aligned=torch.tensor(aligned, device=device))


def _unit(auxiliary: Modality, preprocessing: PreprocessingConfig) -> float | None:
    """Change of the logarithm of the distance for a change of 1 of a normalised image; None if there is no such."""
    depth = preprocessing.depth
    if auxiliary is not Modality.DEPTH or depth.law is not DepthLaw.LOG:
        return None
    return log(depth.max_m / depth.min_m) / NORMALISED_RANGE


def _prepared(values: np.ndarray, modality: Modality, preprocessing: PreprocessingConfig,
              device: torch.device) -> Tensor:
    return torch.from_numpy(network_input(values, modality, preprocessing))[None].to(device)
