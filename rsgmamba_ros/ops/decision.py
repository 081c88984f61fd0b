"""The class of each pixel from logits of a smaller map: a plain torch definition, and one pass where compiled.

Enlarged logits are many times the bytes of all that follows from them; the compiled kernel never stores them.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rsgmamba_ros.ops.cpu.library import cpu_library, cpu_library_problem


def decide(logits: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Enlarge logits bilinearly and take each pixel's best class. For inference: nothing has a gradient.

    Args:
        logits: (K, h, w), floating point, K at most 256.
        size: (H, W) of the result.

    Returns:
        Labels, (H, W) uint8, and the softmax maximum, (H, W) uint8, 0..255 for 0..1; on the device of the logits.
    """
    logits = logits.detach().float()
    shrinks = size[0] < logits.shape[1] or size[1] < logits.shape[2]
    if shrinks or logits.device.type != 'cpu' or cpu_library_problem() is not None:
        return decide_by_definition(logits, size)
    logits = logits.contiguous()
    labels = torch.empty(size, dtype=torch.uint8)
    confidence = torch.empty_like(labels)
    cpu_library().decide(logits.data_ptr(), *logits.shape, *size, labels.data_ptr(), confidence.data_ptr(),
                         torch.get_num_threads())
    return labels, confidence


def decide_by_definition(logits: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """`decide` in plain torch: (K, h, w) -> labels and confidence, (H, W) uint8 each."""
    enlarged = F.interpolate(logits[None], size=size, mode='bilinear', align_corners=False)[0]
    highest, labels = enlarged.max(dim=0)
    # 1 / sum(exp(l - max)) is the softmax of the largest class: no need for the others'.
    confidence = (enlarged - highest).exp_().sum(dim=0).reciprocal_()
    return labels.to(torch.uint8), confidence.mul_(255).round_().to(torch.uint8)
