import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
import torch

from rsgmamba_ros.network.reliability.checks.regression import (
    FOLDS,
    held_out_folds,
    logistic_regression,
    PENALTY,
    ridge_regression,
)

GENERATOR = torch.Generator().manual_seed(0)
FEATURES = torch.randn(400, 5, generator=GENERATOR) * torch.tensor([1.0, 2, 0.5, 1, 3]) + 1


def test_ridge_is_that_of_scikit_learn():
    centred = (FEATURES - FEATURES.mean(0)).double()
    values = centred @ torch.tensor([1.0, -2, 0, 0.5, 0]).double() + 3 + torch.randn(400, generator=GENERATOR)
    slope, mean = ridge_regression(centred, values, 20.0)
    expected = Ridge(alpha=20.0).fit(centred.numpy(), values.numpy())
    np.testing.assert_allclose(slope.numpy(), expected.coef_, rtol=1e-6)
    np.testing.assert_allclose(float(mean), expected.intercept_, rtol=1e-6)


def test_logistic_is_that_of_scikit_learn():
    labels = (FEATURES @ torch.tensor([1.0, -1, 0, 0.5, 0.2]) + torch.randn(400, generator=GENERATOR) > 0.5).float()
    slope, offset = logistic_regression(FEATURES, labels)
    deviation = FEATURES.std(0)
    standard = ((FEATURES - FEATURES.mean(0)) / deviation).double()
    expected = LogisticRegression(C=1 / (2 * PENALTY * len(labels)), tol=1e-9, max_iter=1000)
    expected.fit(standard.numpy(), labels.numpy())
    np.testing.assert_allclose((slope * deviation).numpy(), expected.coef_[0], rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(FEATURES @ slope + offset, torch.from_numpy(
        expected.decision_function(standard.numpy())).float(), rtol=0.02, atol=0.05)


def test_cells_of_maps_are_samples_like_others():
    shares = torch.rand(400, generator=GENERATOR)
    flat = logistic_regression(FEATURES, shares)
    maps = logistic_regression(FEATURES.view(4, 10, 10, 5), shares.view(4, 10, 10))
    torch.testing.assert_close(flat, maps)


def test_every_sample_is_held_out_once():
    folds = list(held_out_folds(23, torch.device('cpu')))
    assert len(folds) == FOLDS
    assert torch.stack([held_out for _, held_out in folds]).sum(0).tolist() == [1] * 23
    assert all(torch.equal(seen, ~held_out) for seen, held_out in folds)
