"""Networks of one sensor, trained first, whose labels show what that sensor alone can tell.

A network of two sensors learns each of them alone more slowly than a network that has nothing else to learn: its
weights serve three cases. What the latter says of an image is more than its labels: it tells which classes are near.

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
    """Trained networks; each teaches the bundles that have just the modalities that it uses, if these are sound."""

    def __init__(self, networks: Iterable[RSGMamba] = ()):
        self.networks = tuple(network.eval().requires_grad_(False) for network in networks)

    @torch.no_grad()
    def lessons(self, batch: Batch) -> list[Lesson]:
        """What they say of a batch."""
        given = []
        for network in self.networks:
            used = torch.tensor([m in network.modalities for m in range(batch.available.shape[1])],
                                device=batch.available.device)
            sound = (batch.targets.reliability >= 1) | ~used
            places = torch.nonzero((batch.available == used).all(1) & sound.all(1)).flatten()
            if len(places):
                images = batch.images[batch.rows[places.cpu()].to(batch.images.device)]
                logits = network(images, batch.available[places]).logits
                given.append(Lesson(places, sparse_log_probabilities(logits)))
        return given


def load_teachers(paths: Iterable[Path], labels: LabelSpace, device: torch.device) -> Teachers:
    """Read them.

    Raises:
        CheckpointError: a file is missing or damaged, or its network knows other classes.
    """
    networks = []
    for path in paths:
        checkpoint = load_checkpoint(path, device=device)
        if checkpoint.labels.names != labels.names:
            raise CheckpointError(f'{path} cannot teach: it knows the classes {", ".join(checkpoint.labels.names)}; '
                                  f"the training's are {', '.join(labels.names)}. Move it away to train another one.")
        networks.append(checkpoint.network)
    return Teachers(networks)
