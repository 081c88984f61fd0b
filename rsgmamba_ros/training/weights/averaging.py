"""The moving average of a network's weights: steadier than the last step's, and what is kept in the end."""
from __future__ import annotations

import copy

import torch
from torch import nn


class AveragedNetwork:
    """An exponential moving average of a network.

    Args:
        decay: share of the old average at each update; smaller in the first steps, so that the start is forgotten.
    """

    def __init__(self, network: nn.Module, *, decay: float):
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, *, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        own, new = self.network.state_dict(), network.state_dict()
        floating = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in floating], [new[name] for name in floating], 1 - decay)
        for name in own.keys() - set(floating):
            own[name].copy_(new[name])
