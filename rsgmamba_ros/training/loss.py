"""The loss: cross entropy of labels and reliability, and divergence from the teachers' predictions.

B batch, M modality, K class, H, W.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rsgmamba_ros.network.rsgmamba import NetworkOutput
from rsgmamba_ros.vocabulary.errors import ConfigError

#: Logits are made at this stride and enlarged: pixels between them hold nothing new.
DISTILLED_STRIDE = 4


@dataclass(frozen=True)
class LossConfig:
    """Weights of the parts of the loss.

    Attributes:
        reliability: of the scalar reliability, binary cross entropy with a soft target.
        reliability_map: of the per-pixel reliability of the stages, binary cross entropy with a soft target.
        distillation: of the Kullback-Leibler divergence from the predictions of the `teachers`, see `TrainingConfig`,
            of every fourth pixel in each direction.
        class_weights: one factor a class, empty for 1 each.
    """

    reliability: float = 0.3
    reliability_map: float = 0.1
    distillation: float = 2.0
    class_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if min((self.reliability, self.reliability_map, self.distillation, *self.class_weights)) < 0:
            raise ConfigError('weights of the loss must not be negative')


@dataclass(frozen=True)
class Targets:
    """The targets of a batch.

    Attributes:
        label_map: (B, H, W) int64.
        reliability: (B, M) float32 in [0, 1].
        reliability_map: (B, M, H, W) float32 in [0, 1].
    """

    label_map: Tensor
    reliability: Tensor
    reliability_map: Tensor


@dataclass(frozen=True)
class Lesson:
    """A teacher's prediction for some bundles of a batch.

    Attributes:
        indices: of the bundles in the batch, (N,) int64.
        log_probabilities: see `sparse_log_probabilities`.
    """

    indices: Tensor
    log_probabilities: Tensor


@dataclass(frozen=True)
class LossParts:
    """Sums over a batch and what to divide them by, so that several processes can share the divisors.

    Attributes:
        sums: (4,) labels, reliability, reliability maps, distillation.
        counts: (4,) weight of labelled pixels, available modalities, available modalities' map cells, taught pixels.
    """

    sums: Tensor
    counts: Tensor


def loss_parts(output: NetworkOutput, targets: Targets, available: Tensor, *, lessons: Sequence[Lesson] = (),
               class_weights: Tensor | None, ignore_index: int) -> LossParts:
    """The parts of the loss over one batch, before division and weighting.

    Args:
        output: of the network for B bundles.
        targets: of the same bundles.
        available: (B, M) bool.
        lessons: the teachers' predictions for some of the bundles.
        class_weights: (K,), or None for 1 each.
        ignore_index: label of pixels that do not count.
    """
    labels, pixels = _label_loss(output.logits, targets.label_map, class_weights, ignore_index)
    reliability = _reliability_loss(output.reliability_logits, targets, available)
    maps, cells = _map_loss(output.reliability_maps, targets.reliability_map, available)
    distilled, taught = _distillation_loss(output.logits, lessons)
    return LossParts(torch.stack([labels, reliability, maps, distilled]),
                     torch.stack([pixels, available.sum().to(pixels.dtype), cells, taught]))


def reliability_parts(logits: Tensor, targets: Targets, available: Tensor) -> LossParts:
    """The parts where only the reliability is taught; the others are 0.

    Args:
        logits: reliability logits, (B, M).
        targets: of the same bundles.
        available: (B, M) bool.
    """
    reliability, nothing = _reliability_loss(logits, targets, available), logits.new_zeros(())
    return LossParts(torch.stack([nothing, reliability, nothing, nothing]),
                     torch.stack([nothing, available.sum().to(logits.dtype), nothing, nothing]))


def sparse_log_probabilities(logits: Tensor) -> Tensor:
    """Logits (N, K, H, W) -> log-probabilities of every fourth pixel in each direction, float32."""
    return logits[:, :, ::DISTILLED_STRIDE, ::DISTILLED_STRIDE].float().log_softmax(1)


def _distillation_loss(logits: Tensor, lessons: Sequence[Lesson]) -> tuple[Tensor, Tensor]:
    total, pixels = logits.new_zeros((), dtype=torch.float32), logits.new_zeros((), dtype=torch.float32)
    for lesson in lessons:
        own = sparse_log_probabilities(logits[lesson.indices])
        total = total + functional.kl_div(own, lesson.log_probabilities, log_target=True, reduction='sum')
        pixels = pixels + own[:, 0].numel()
    return total, pixels


def _reliability_loss(logits: Tensor, targets: Targets, available: Tensor) -> Tensor:
    # Select, do not multiply: an unavailable modality's logit may be NaN.
    return functional.binary_cross_entropy_with_logits(
        logits.float()[available], targets.reliability[available], reduction='sum')


def total_loss(parts: LossParts, counts: Tensor, config: LossConfig) -> Tensor:
    """Weighted loss; `counts` are the divisors, (4,), of this batch or of all processes' batches."""
    weights = parts.sums.new_tensor([1.0, config.reliability, config.reliability_map, config.distillation])
    return (weights * parts.sums / counts.clamp(min=1)).sum()


def _label_loss(logits: Tensor, label_map: Tensor, weights: Tensor | None, ignore_index: int) -> tuple[Tensor, Tensor]:
    total = functional.cross_entropy(logits.float(), label_map, weight=weights, ignore_index=ignore_index,
                                     reduction='sum')
    labelled = label_map[label_map != ignore_index]
    pixels = weights[labelled].sum() if weights is not None else logits.new_tensor(float(labelled.numel()))
    return total, pixels


def _map_loss(maps: tuple[Tensor, ...], target: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
    total, cells = target.new_zeros(()), target.new_zeros(())
    for stage in maps:
        wanted = functional.adaptive_avg_pool2d(target, (stage.shape[-2], stage.shape[-1]))[available]
        # Probabilities are kept off 0 and 1, where half precision has no logarithm.
        given = stage.float()[available].clamp(1e-4, 1 - 1e-4)
        # torch's own cross entropy of probabilities refuses to run beside a CUDA autocast.
        entropy = -(wanted * given.log() + (1 - wanted) * (-given).log1p()).sum()
        total = total + entropy / wanted[0].numel() if wanted.numel() else total
        cells = cells + wanted.shape[0]
    return total, cells
