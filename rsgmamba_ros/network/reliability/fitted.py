"""What is fitted to clean images instead of learned: it knows them or not, and can forget them."""
from __future__ import annotations

import torch
from torch import nn


class Fitted(nn.Module):
    """A module that says nothing of any image until its `fit` was called; `fit` ends by setting `known` to 1."""

    def __init__(self):
        super().__init__()
        self.register_buffer('known', torch.zeros(1))

    @property
    def is_fitted(self) -> bool:
        """Whether it knows what is usual."""
        return bool(self.known)

    @torch.no_grad()
    def forget(self) -> None:
        """Know no longer what is usual, as for images of another sensor."""
        self.known.zero_()
