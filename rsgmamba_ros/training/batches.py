"""Training batches. Every sample is a function of (seed, step, position), so that a resumed run sees the same ones."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from rsgmamba_ros.data.samples import augment, Dataset
from rsgmamba_ros.pipeline.preprocessing import network_input
from rsgmamba_ros.training.config import Inputs, TrainingConfig
from rsgmamba_ros.training.failures import FailedSample, inflict
from rsgmamba_ros.training.loss import Targets
from rsgmamba_ros.vocabulary.images import Modality


@dataclass(frozen=True)
class Batch:
    """What one step works on: images (B, M, 3, H, W), available (B, M), targets."""

    images: Tensor
    available: Tensor
    targets: Targets

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        targets = Targets(*(getattr(self.targets, name).to(device, non_blocking=True)
                            for name in ('label_map', 'reliability', 'reliability_map')))
        return Batch(self.images.to(device, non_blocking=True), self.available.to(device, non_blocking=True), targets)


class TrainingSamples:
    """Prepared samples, indexed by (step, position in the batch of all processes)."""

    def __init__(self, dataset: Dataset, config: TrainingConfig):
        self.dataset, self.config = dataset, config

    def __getitem__(self, index: tuple[int, int]) -> dict[str, np.ndarray]:
        step, position = index
        rng = np.random.default_rng([self.config.seed, step, position])
        phase = self.config.phase_at(step)
        sample = augment(self.dataset[int(rng.integers(len(self.dataset)))], phase.height, phase.width,
                         self.config.augmentation, rng=rng, ignore_index=self.dataset.labels.ignore_index)
        failed = inflict(sample, self.config.auxiliary, self.config.failures, rng=rng)
        return _arrays(restrict(failed, self.config.inputs), sample.label_map, self.config)


def restrict(failed: FailedSample, inputs: Inputs) -> FailedSample:
    """Make a sample one of a single-modality network: the other one is never there."""
    if inputs is Inputs.BOTH:
        return failed
    wanted = inputs is Inputs.RGB_ONLY
    available = {modality: (modality is Modality.RGB) == wanted for modality in failed.available}
    return replace(failed, available=available)


def _arrays(failed: FailedSample, label_map: np.ndarray, config: TrainingConfig) -> dict[str, np.ndarray]:
    height, width = label_map.shape
    size = replace(config.preprocessing, height=height, width=width)
    modalities = tuple(failed.values)
    images = np.zeros((len(modalities), 3, height, width), np.float32)
    for index, modality in enumerate(modalities):
        if failed.available[modality]:
            images[index] = network_input(failed.values[modality], modality, size)
    return {'images': images, 'label_map': label_map.astype(np.int64),
            'available': np.array([failed.available[modality] for modality in modalities]),
            'reliability': np.array([failed.reliability[modality] for modality in modalities], np.float32),
            'reliability_map': np.stack([failed.reliability_map[modality] for modality in modalities])}


def training_batches(dataset: Dataset, config: TrainingConfig, *, first_step: int, rank: int = 0,
                     processes: int = 1) -> Iterator[Batch]:
    """Batches of the steps from `first_step` on; of several processes each gets every n-th sample."""
    loader = DataLoader(
        TrainingSamples(dataset, config), batch_sampler=_StepSampler(config, first_step, rank, processes),
        num_workers=config.workers, persistent_workers=False, worker_init_fn=_start_worker,
        prefetch_factor=2 if config.workers else None, pin_memory=config.device != 'cpu')
    for arrays in loader:
        targets = Targets(arrays['label_map'], arrays['reliability'], arrays['reliability_map'])
        yield Batch(arrays['images'], arrays['available'], targets)


@dataclass(frozen=True)
class _StepSampler:
    """The indices of each step's batch."""

    config: TrainingConfig
    first_step: int
    rank: int
    processes: int

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.first_step, self.config.steps):
            batch = range(self.config.phase_at(step).batch_size)
            yield [(step, position) for position in batch[self.rank::self.processes]]

    def __len__(self) -> int:
        return self.config.steps - self.first_step


def _start_worker(_: int) -> None:
    # Each worker has one core's worth of work; OpenCV's own threads would fight over the others.
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
