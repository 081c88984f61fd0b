"""Regressions in closed form, or as good as: what a reliability head fits to clean images instead of learning it.

N samples, C features.
"""
from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

FOLDS = 5          # of a cross validation
PENALTY = 1e-4     # of the squares of a logistic regression's weights
ITERATIONS = 40    # of a logistic regression


def held_out_folds(count: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """For each fold which samples are seen and which are held out, (N,) bool both."""
    fold = torch.arange(count, device=device) % FOLDS
    for index in range(FOLDS):
        yield fold != index, fold == index


def ridge_regression(features: Tensor, values: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Slope (C,) and mean of the values (N,), for features (N, C) whose mean is 0."""
    mean = values.mean()
    gram = features.T @ features + ridge * torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    return torch.linalg.solve(gram, features.T @ (values - mean)), mean


def logistic_regression(features: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Slope (C,) and offset (1,) of the logit of the shares (...) in 0..1, for features (..., C)."""
    flat, target = features.flatten(0, -2), shares.flatten()
    centre, deviation = flat.mean(0), flat.std(0).clamp_min(1e-3)
    standard = (flat - centre) / deviation
    with torch.enable_grad():
        slope = torch.zeros_like(centre).requires_grad_()
        offset = centre.new_zeros(1).requires_grad_()
        optimizer = torch.optim.LBFGS([slope, offset], max_iter=ITERATIONS, line_search_fn='strong_wolfe')

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(standard @ slope + offset, target)
            loss = loss + PENALTY * slope.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch has no type for it
    slope = slope.detach() / deviation
    return slope, offset.detach() - centre @ slope
