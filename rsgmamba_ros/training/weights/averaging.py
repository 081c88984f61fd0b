"""The moving average of a network's weights: the checkpoint holds it, because it is steadier."""
from __future__ import annotations

import copy

import torch

from rsgmamba_ros.network.rsgmamba import RSGMamba


class AveragedNetwork:
    """An exponential moving average of a network.

    Attributes:
        network: the one with the averaged weights, in evaluation mode.

    Args:
        decay: share of the old average at each update; smaller in the first steps, so that the initial weights do not
            stay in the average.
    """

    def __init__(self, network: RSGMamba, *, decay: float):
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: RSGMamba, *, step: int) -> None:
        """Add the weights after a step, counted from 0, to the average."""
        decay = min(self.decay, (1 + step) / (10 + step))
        own, new = self.network.state_dict(), network.state_dict()
        floating = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in floating], [new[name] for name in floating], 1 - decay)
        for name in own.keys() - set(floating):
            own[name].copy_(new[name])
