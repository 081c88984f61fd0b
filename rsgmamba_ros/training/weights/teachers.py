"""Single-modality networks, trained first, whose predictions are targets where their modality is alone.

A network of two modalities learns each of them alone more slowly than a single-modality network, because its weights
serve three cases. A teacher's prediction holds more than the labels: it also tells which classes are similar.

Source: distillation as in Hinton et al., arXiv 1503.02531, at temperature 1.
"""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from rsgmamba_ros.network.checkpoint import load_checkpoint
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.training.loss import Lesson, sparse_log_probabilities
from rsgmamba_ros.training.samples.batches import Batch
from rsgmamba_ros.vocabulary.errors import CheckpointError
from rsgmamba_ros.vocabulary.labels import LabelSpace


class Teachers:
    """Trained networks; each teaches the bundles that have exactly its modalities, if these are not corrupted."""

    def __init__(self, networks: Iterable[RSGMamba] = ()):
        self.networks = tuple(network.eval().requires_grad_(False) for network in networks)

    @torch.no_grad()
    def lessons(self, batch: Batch) -> list[Lesson]:
        """Predictions of every teacher for its bundles of a batch; none for a teacher without any."""
        given = []
        for network in self.networks:
            used = torch.tensor([modality in network.modalities for modality in network.axis],
                                device=batch.available.device)
            clean = (batch.targets.reliability >= 1) | ~used
            indices = torch.nonzero((batch.available == used).all(1) & clean.all(1)).flatten()
            if len(indices):
                images = batch.images[batch.image_indices[indices.cpu()].to(batch.images.device)]
                logits = network(images, batch.available[indices]).logits
                given.append(Lesson(indices, sparse_log_probabilities(logits)))
        return given


def load_teachers(paths: Iterable[Path], labels: LabelSpace, device: torch.device) -> Teachers:
    """Read the checkpoints of teachers.

    Raises:
        CheckpointError: a file is missing or damaged, or its network has other classes.
    """
    networks = []
    for path in paths:
        checkpoint = load_checkpoint(path, device=device)
        if checkpoint.labels.names != labels.names:
            raise CheckpointError(f'{path} cannot teach: it has the classes {", ".join(checkpoint.labels.names)}; '
                                  f"the training's are {', '.join(labels.names)}. Move it away to train another one.")
        networks.append(checkpoint.network)
    return Teachers(networks)
