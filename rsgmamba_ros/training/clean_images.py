"""Telling a reliability head what clean images of a training look like: fitted, not learned."""
from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
import torch
from torch import Tensor

from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.network.reliability.alignment_check import AlignmentCheck, with_shifts
from rsgmamba_ros.network.reliability.floor_height import floor_share
from rsgmamba_ros.network.reliability.head import ReliabilityHead
from rsgmamba_ros.network.reliability.scale_check import CleanScale, ScaleCheck
from rsgmamba_ros.network.reliability.typicality import Typicality
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
    for part in _fitted_parts(network):
        part.forget()


@torch.no_grad()
def fit_clean_images(network: RSGMamba, average: RSGMamba, dataset: Dataset,
                     preprocessing: PreprocessingConfig) -> None:
    """Tell a network and its average, if they do not know yet and the head asks for it.

    While the reliability is taught the average moves to the network, so both get what is fitted to the network.
    """
    head, parts = network.reliability_head, _fitted_parts(network)
    if head is None or all(part.is_fitted for part in parts):
        return
    was_training = network.training
    network.eval()
    seen = _look_at(network, head, dataset, preprocessing)
    network.train(was_training)
    for part, averaged in zip(parts, _fitted_parts(average)):
        if isinstance(part, Typicality):
            part.fit(seen.scale.images)
        elif isinstance(part, ScaleCheck):
            part.fit(seen.scale)
        else:
            part.fit(seen.edges, seen.aligned)
        averaged.load_state_dict(part.state_dict())


@dataclass(frozen=True)
class CleanImages:
    """What is seen of a dataset.

    Attributes:
        scale: what `ScaleCheck` is fitted to, and with it the auxiliary images.
        edges: what `EdgeAlignment` says of pairs, (P, E).
        aligned: whether they are aligned, (P,), 1 or 0.
    """

    scale: CleanScale
    edges: Tensor
    aligned: Tensor


def _look_at(network: RSGMamba, head: ReliabilityHead, dataset: Dataset,
             preprocessing: PreprocessingConfig) -> CleanImages:
    device = next(network.parameters()).device
    floor = dataset.labels.names.index(FLOOR) if FLOOR in dataset.labels.names and dataset.is_labelled else None
    rng = np.random.default_rng(0)
    features, auxiliary, floors, edges, aligned = [], [], [], [], []
    for sample in spread(dataset, IMAGES):
        rgb = _prepared(sample.rgb, Modality.RGB, preprocessing, device)
        other = _prepared(sample.auxiliary, dataset.auxiliary, preprocessing, device)
        # Its channels are equal: one of them is kept.
        auxiliary.append(other[:, :1])
        if head.scale is not None:
            features.append(network.encoder(rgb)[-2:])
            if floor is not None:
                resized = resize(sample.label_map, preprocessing.height, preprocessing.width, nearest=True)
                floors.append(floor_share(torch.from_numpy(resized).to(device), floor, (rgb.shape[-2], rgb.shape[-1])))
        if head.alignment is not None and head.edges is not None:
            for image, moved, is_aligned in with_shifts(rgb, other, rng):
                edges.append(head.edges(image, moved))
                aligned.append(float(is_aligned))
    scale = CleanScale([torch.cat(stage) for stage in zip(*features)], torch.cat(auxiliary),
                       torch.stack(floors) if floors else None, _unit(dataset.auxiliary, preprocessing))
    return CleanImages(scale, torch.cat(edges) if edges else torch.empty(0), torch.tensor(aligned, device=device))


def _unit(auxiliary: Modality, preprocessing: PreprocessingConfig) -> float | None:
    """Change of the logarithm of the distance for a change of 1 of a normalised image; None if there is no such."""
    depth = preprocessing.depth
    if auxiliary is not Modality.DEPTH or depth.law is not DepthLaw.LOG:
        return None
    return log(depth.max_m / depth.min_m) / NORMALISED_RANGE


def _prepared(values: np.ndarray, modality: Modality, preprocessing: PreprocessingConfig,
              device: torch.device) -> Tensor:
    return torch.from_numpy(network_input(values, modality, preprocessing))[None].to(device)


def _fitted_parts(network: RSGMamba) -> list[Typicality | ScaleCheck | AlignmentCheck]:
    head = network.reliability_head
    parts = (head.typicality, head.scale, head.alignment) if head is not None else ()
    return [part for part in parts if part is not None]
