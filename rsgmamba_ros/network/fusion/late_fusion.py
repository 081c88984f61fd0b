"""What the images of a pair show together and what each shows alone, in one answer. [ours]

Nothing in it is learned: on the images of a training what a pair shows together is right too often, so that it would
learn to leave the rest aside (docs/results.md).
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: Of the reliability, as the weight of a lone image: less than 1, because an image that is doubted still shows much.
POWER = 0.5


def fuse_late(together: Tensor, alone: dict[int, Tensor], reliability_logits: dict[int, Tensor]) -> Tensor:
    """The mean of log-probabilities, a lone image's weighed by its reliability: `(l + sum w_m l_m) / (1 + sum w_m)`.

    The weights are `w_m = r_m^POWER`. A class that one reading excludes is excluded, so a spoilt image that shows
    nothing clearly takes little away from what the others show.

    Args:
        together: logits of both images, (B, H, W, K).
        alone: of each modality's image alone, likewise.
        reliability_logits: of each modality, (B,).

    Returns:
        Logits as `together`, of its dtype.
    """
    total, weights = together.float(), 1.0
    for modality, logits in alone.items():
        weight = torch.exp(POWER * F.logsigmoid(reliability_logits[modality].float()))[:, None, None, None]
        total, weights = total + weight * logits.float(), weights + weight
    return (total / weights).to(together.dtype)
