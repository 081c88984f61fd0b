"""Training batches. Every sample is a function of (seed, step, item), so that a resumed run sees the same ones."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from rsgmamba_ros.data.samples import Dataset, draw_window, Sample, vary, Window
from rsgmamba_ros.data.sensors import draw_sensor_pair
from rsgmamba_ros.pipeline.preprocessing import network_input
from rsgmamba_ros.training.config import TrainingConfig
from rsgmamba_ros.training.loss import Targets
from rsgmamba_ros.training.samples.failures import FailedSample, inflict
from rsgmamba_ros.training.samples.pseudo_labels import PseudoLabelled
from rsgmamba_ros.vocabulary.images import Modality


@dataclass(frozen=True)
class Batch:
    """What one step works on: B bundles that share N image pairs; B is a multiple of N.

    Attributes:
        images: normalised, (N, M, 3, H, W) float32.
        available: which modalities each bundle has, (B, M) bool.
        image_indices: index in `images` of each bundle, (B,) int64.
        targets: of each bundle.
    """

    images: Tensor
    available: Tensor
    image_indices: Tensor
    targets: Targets

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        targets = Targets(*(getattr(self.targets, name).to(device, non_blocking=True)
                            for name in ('label_map', 'reliability', 'reliability_map')))
        return Batch(self.images.to(device, non_blocking=True), self.available.to(device, non_blocking=True),
                     self.image_indices, targets)


class TrainingSamples(torch.utils.data.Dataset[dict[str, np.ndarray]]):
    """Prepared samples, indexed by (step, item in the batch of all processes).

    Args:
        unlabelled: of the phases with a share of such samples.
    """

    def __init__(self, dataset: Dataset, config: TrainingConfig, unlabelled: PseudoLabelled | None = None):
        self.dataset, self.config, self.unlabelled = dataset, config, unlabelled

    def __getitem__(self, index: tuple[int, int]) -> dict[str, np.ndarray]:
        step, item = index
        rng = np.random.default_rng([self.config.seed, step, item])
        phase, augmentation = self.config.phase_at(step), self.config.augmentation
        failures = phase.failures or self.config.failures
        if phase.scales:
            augmentation = replace(augmentation, min_scale=phase.scales[0], max_scale=phase.scales[1])
        if self.unlabelled is not None and rng.random() < phase.unlabelled:
            sample = self.unlabelled.draw(rng)
        else:
            sample = self.dataset[int(rng.integers(len(self.dataset)))]
        sample = vary(sample, augmentation, rng=rng)
        if rng.random() < self.config.sensors:
            sample = seen_by_other_sensor(sample, self.config.auxiliary, rng=rng)
        # The whole image fails, then it is cut: severities are stated for whole images.
        failed = restrict(inflict(sample, self.config.auxiliary, failures, rng=rng), self.config.used)
        window = draw_window(sample.label_map.shape, phase.height, phase.width, rng=rng)
        label_map = window.cut(sample.label_map, blank=self.dataset.labels.ignore_index)
        arrays = _arrays(failed, window, self.config)
        if failures.alone and len(self.config.used) > 1:
            arrays['available'] = _with_alone(arrays['available'][0], arrays['reliability'], failures.alone, rng)
        return {'label_map': label_map.astype(np.int64), **arrays}


def seen_by_other_sensor(sample: Sample, auxiliary: Modality, *, rng: np.random.Generator) -> Sample:
    """The sample as another healthy camera would have seen it; its earlier image by the same camera."""
    pair = draw_sensor_pair(auxiliary, rng)

    def seen(item: Sample) -> Sample:
        rgb, other = pair.apply(item.rgb, item.auxiliary, rng=rng)
        return replace(item, rgb=rgb, auxiliary=other)

    earlier = seen(sample.earlier) if sample.earlier is not None else None
    return replace(seen(sample), earlier=earlier)


def _with_alone(available: np.ndarray, reliability: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Add bundles that have only the most reliable modality.

    Of equally reliable modalities each is drawn before one is drawn again. A sensor that is alone because the other
    one failed is the case to be good at; alone and corrupted at once it teaches little, and its large losses outweigh
    the others.

    Args:
        available: (M,) bool, at least one True.
        reliability: (M,) in [0, 1].
        count: number of bundles to add.

    Returns:
        (1 + count, M) bool: `available`, then the added bundles.
    """
    best = reliability[available].max()
    order = rng.permutation(np.flatnonzero(available & (reliability == best)))
    alone = np.zeros((count, len(available)), bool)
    alone[np.arange(count), np.resize(order, count)] = True
    return np.concatenate((available[None], alone))


def restrict(failed: FailedSample, used: tuple[Modality, ...]) -> FailedSample:
    """Make a sample fit a single-modality network: its modality is always available, the other one never."""
    if len(used) > 1:
        return failed
    return replace(failed, available={modality: modality in used for modality in failed.available})


def _arrays(failed: FailedSample, window: Window, config: TrainingConfig) -> dict[str, np.ndarray]:
    size = replace(config.preprocessing, height=window.height, width=window.width)
    modalities = tuple(failed.values)
    images = np.zeros((len(modalities), 3, window.height, window.width), np.float32)
    for index, modality in enumerate(modalities):
        if failed.available[modality]:
            values = window.cut(failed.values[modality], blank=0 if modality is Modality.RGB else np.nan)
            images[index] = network_input(values, modality, size)
    maps = [window.cut(failed.reliability_map[modality], blank=1) for modality in modalities]
    return {'images': images, 'available': np.array([[failed.available[modality] for modality in modalities]]),
            'reliability': np.array([failed.reliability[modality] for modality in modalities], np.float32),
            'reliability_map': np.stack(maps)}


def training_batches(dataset: Dataset, config: TrainingConfig, *, first_step: int, last_step: int | None = None,
                     unlabelled: PseudoLabelled | None = None, rank: int = 0, processes: int = 1) -> Iterator[Batch]:
    """Batches of the steps from `first_step` on; with several processes each gets every n-th sample.

    Args:
        last_step: the first that is not given; by default the training's end.
        unlabelled: see `TrainingSamples`.
    """
    # Before the workers are forked: OpenCV's threads do not exist in a fork, and a call that needs one never returns.
    cv2.setNumThreads(1)
    steps = StepSampler(config, first_step, config.steps if last_step is None else last_step, rank, processes)
    loader: DataLoader[dict[str, np.ndarray]] = DataLoader(
        TrainingSamples(dataset, config, unlabelled), batch_sampler=steps,
        num_workers=config.workers, persistent_workers=False,
        prefetch_factor=2 if config.workers else None, pin_memory=torch.cuda.is_available() and config.device != 'cpu')
    for arrays in loader:
        available = arrays['available']
        rows = torch.arange(len(available)).repeat_interleave(available.shape[1])
        targets = Targets(*(arrays[name][rows] for name in ('label_map', 'reliability', 'reliability_map')))
        yield Batch(arrays['images'], available.flatten(0, 1), rows, targets)


@dataclass(frozen=True)
class StepSampler:
    """The indices of each step's batch."""

    config: TrainingConfig
    first_step: int
    last_step: int
    rank: int
    processes: int

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.first_step, self.last_step):
            batch = range(self.config.phase_at(step).batch_size)
            yield [(step, item) for item in batch[self.rank::self.processes]]

    def __len__(self) -> int:
        return self.last_step - self.first_step
