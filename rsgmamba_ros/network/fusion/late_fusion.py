"""Late fusion: the prediction from both images, averaged with the prediction from each image alone. [ours]

Nothing in it is learned: on training images the prediction from both images is right too often, so learned weights
would ignore the others (docs/results.md).
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rsgmamba_ros.vocabulary.images import Modality

#: Power of the reliability as the weight of an image alone: below 1, because an unreliable image still shows much.
POWER = 0.5


def fuse_late(together: Tensor, alone: dict[Modality, Tensor], reliability_logits: dict[Modality, Tensor]) -> Tensor:
    """Average log-probabilities, weighted by reliability: `(l + sum w_m l_m) / (1 + sum w_m)`, `w_m = r_m^POWER`.

    A class that one prediction excludes is excluded, so a corrupted image that shows nothing clearly takes little away
    from what the others show.

    Args:
        together: logits from both images, (B, H, W, K).
        alone: logits from each modality's image alone, (B, H, W, K).
        reliability_logits: of each modality, (B,).

    Returns:
        Logits, (B, H, W, K), of the dtype of `together`.
    """
    total, weights = together.float(), torch.ones((), device=together.device)
    for modality, logits in alone.items():
        weight = torch.exp(POWER * F.logsigmoid(reliability_logits[modality].float()))[:, None, None, None]
        total, weights = total + weight * logits.float(), weights + weight
    return (total / weights).to(together.dtype)
