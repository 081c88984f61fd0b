import numpy as np
import pytest

from rsgmamba_ros.evaluation.protocols import TARGET_OF_SEVERITY
from rsgmamba_ros.training.calibration import fit_calibration, isotonic


@pytest.mark.parametrize('seed', range(3))
def test_isotonic_is_that_of_scikit_learn(seed):
    module = pytest.importorskip('sklearn.isotonic')
    values = np.random.default_rng(seed).normal(size=60) + np.linspace(0, 2, 60)
    weights = np.random.default_rng(seed + 9).uniform(0.1, 2, 60)
    expected = module.isotonic_regression(values, sample_weight=weights)
    np.testing.assert_allclose(isotonic(values, weights), expected, atol=1e-9)


def test_the_map_does_not_fall_and_gives_back_what_was_taught():
    rng = np.random.default_rng(0)
    severities = rng.integers(0, 6, 600)
    logits = 3 - 1.5 * severities + rng.normal(0, 0.3, 600)
    fitted = fit_calibration(logits, severities, clean_share=1 / 6)
    assert all(np.diff(fitted['x']) > 0) and all(np.diff(fitted['y']) >= 0)
    for severity in (0, 2, 4):
        value = np.interp(3 - 1.5 * severity, fitted['x'], fitted['y'])
        assert value == pytest.approx(TARGET_OF_SEVERITY[severity], abs=0.12)


def test_logits_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match='finite'):
        fit_calibration(np.array([0.0, np.nan]), np.array([0, 1]), clean_share=0.5)


def test_a_doubtful_logit_means_more_where_most_images_are_clean():
    logits, severities = np.tile(np.linspace(-1, 1, 50), 2), np.repeat([0, 5], 50)
    rare, common = (np.interp(0.0, *fit_calibration(logits, severities, clean_share=share).values())
                    for share in (0.2, 0.8))
    assert rare == pytest.approx(0.2, abs=0.05) and common == pytest.approx(0.8, abs=0.05)


def test_what_differs_is_not_published_as_equal():
    rng = np.random.default_rng(1)
    severities = rng.integers(0, 6, 200)
    fitted = fit_calibration(rng.normal(size=200), severities, clean_share=0.5)  # logits that tell nothing
    published = np.interp(np.linspace(-4, 4, 100), fitted['x'], fitted['y'])
    assert (np.diff(published) > 0).all() and published[0] > 0 and published[-1] < 1
