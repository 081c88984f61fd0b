"""Quick scores of a network during training: labels and reliability, clean, corrupted and with a modality missing."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from rsgmamba_ros.data.corruptions import corrupt
from rsgmamba_ros.data.samples import Dataset, Sample
from rsgmamba_ros.evaluation.metrics import ConfusionMatrix
from rsgmamba_ros.network.rsgmamba import NetworkOutput, RSGMamba
from rsgmamba_ros.pipeline.preprocessing import stack_inputs
from rsgmamba_ros.training.samples.failures import training_families
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig


@torch.inference_mode()
def predict(network: RSGMamba, values: dict[Modality, np.ndarray], preprocessing: PreprocessingConfig, *,
            modalities: tuple[Modality, ...]) -> tuple[np.ndarray, NetworkOutput]:
    """Run the network on one sample.

    Args:
        values: images in sensor units by modality, each (H, W) or (H, W, 3); those that are missing are left out.
        modalities: of the network's input, in its order.

    Returns:
        Label map, (H, W) uint8, at the size of the images, and the output of the network.
    """
    images, available = stack_inputs(values, preprocessing, modalities=modalities)
    device = next(network.parameters()).device
    output = network(images.to(device), available.to(device))
    size = next(iter(values.values())).shape[:2]
    logits = output.logits[:, :, :preprocessing.height, :preprocessing.width].float()
    if logits.shape[-2:] != size:
        logits = torch.nn.functional.interpolate(logits, size=size, mode='bilinear', align_corners=False)
    return logits[0].argmax(0).to(torch.uint8).cpu().numpy(), output


def sample_values(sample: Sample, auxiliary: Modality) -> dict[Modality, np.ndarray]:
    """A sample's images by modality."""
    return {Modality.RGB: sample.rgb, auxiliary: sample.auxiliary}


def validate(network: RSGMamba, dataset: Dataset, preprocessing: PreprocessingConfig, *, used: tuple[Modality, ...],
             limit: int) -> dict[str, float]:
    """Mean IoU with the `used` modalities and with each alone, and the uncalibrated reliability of clean images.

    Args:
        limit: number of samples, spread over the dataset.
    """
    modalities = (Modality.RGB, dataset.auxiliary)
    cases = {'miou': used, **({f'miou_{m}_only': (m,) for m in used} if len(used) > 1 else {})}
    scores = {name: ConfusionMatrix(len(dataset.labels), ignore_index=dataset.labels.ignore_index) for name in cases}
    reliability = []
    was_training = network.training
    network.eval()
    for sample in spread(dataset, limit):
        values = sample_values(sample, dataset.auxiliary)
        for name, case in cases.items():
            label_map, output = predict(network, {m: values[m] for m in case}, preprocessing, modalities=modalities)
            scores[name].add(sample.label_map, label_map)
            if name == 'miou':
                reliability.append(output.reliability[0].float().cpu().numpy())
    network.train(was_training)
    means = np.mean(reliability, axis=0)
    return {**{name: score.miou() for name, score in scores.items()},
            **{f'reliability_{m}': float(mean) for m, mean in zip(modalities, means) if m in used}}


def spread(dataset: Dataset, limit: int) -> Iterator[Sample]:
    """At most `limit` samples, evenly spaced over the dataset."""
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(limit, len(dataset))).round().astype(int)):
        yield dataset[int(index)]


def reliability_logits(network: RSGMamba, dataset: Dataset, preprocessing: PreprocessingConfig, modality: Modality, *,
                       limit: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Reliability logits of one modality on clean and corrupted samples, the other modality being clean.

    Returns:
        logits (N,) and severities (N,), 0 for clean; each sample comes clean twice and once at every severity,
        with a random family of those seen in training.
    """
    modalities = (Modality.RGB, dataset.auxiliary)
    column = modalities.index(modality)
    rng = np.random.default_rng([seed, 4, column])
    logits, severities = [], []
    network.eval()
    for sample in spread(dataset, limit):
        clean = sample_values(sample, dataset.auxiliary)
        families = training_families(modality, has_earlier=False)
        for severity in (0, 0, 1, 2, 3, 4, 5):
            values = dict(clean)
            if severity:
                family = families[rng.integers(len(families))]
                values[modality], _ = corrupt(clean[modality], family, severity, rng=rng)
            _, output = predict(network, values, preprocessing, modalities=modalities)
            logits.append(float(output.reliability_logits[0, column]))
            severities.append(severity)
    return np.array(logits), np.array(severities)
