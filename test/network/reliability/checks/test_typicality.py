import numpy as np
import pytest
import torch

from rsgmamba_ros.data.corruptions import corrupt
from rsgmamba_ros.network.reliability.checks.typicality import difference_shares, LEAST_VALID, Typicality
from test.network.reliability.scenes import DEPTH, observation, reference


def metres(seed: int) -> np.ndarray:
    """A room of slanted planes, measured to the millimetre with some noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:96, :128] / 100
    planes = [rng.uniform(1.5, 4) + rng.uniform(-1, 1) * rows + rng.uniform(-1, 1) * columns for _ in range(5)]
    depth = np.min(planes, axis=0) + 0.004 * rng.standard_normal(rows.shape)
    return np.round(np.maximum(depth, 0.5), 3).astype(np.float32)


def normalised(*images: np.ndarray) -> torch.Tensor:
    maps = np.stack([np.where(np.isfinite(image), np.log(image) * 1.4 - 1, -3.0) for image in images])
    return torch.from_numpy(maps.astype(np.float32))[:, None].expand(-1, 3, -1, -1)


@pytest.fixture(scope='module')
def typicality() -> Typicality:
    typicality = Typicality(DEPTH)
    typicality.fit(reference(auxiliary=normalised(*(metres(seed) for seed in range(60)))))
    return typicality.requires_grad_(False)


def corrupted(family: str) -> torch.Tensor:
    return normalised(*(corrupt(metres(seed), family, 3, rng=np.random.default_rng(seed))[0]
                        for seed in range(60, 80)))


def test_clean_images_are_typical(typicality):
    beyond = typicality.excess(normalised(*(metres(seed) for seed in range(60, 80))))
    assert (beyond == 0).float().mean() > 0.25
    assert beyond.max() < 1.5


@pytest.mark.parametrize('family', ['quantisation', 'axial_noise', 'holes'])
def test_images_that_are_smoother_or_rougher_than_clean_ones_are_unusual(typicality, family):
    given = observation(images={DEPTH: corrupted(family)})
    assert typicality.excess(corrupted(family)).min() > 1.5
    assert torch.equal(typicality.odds(given), -typicality.excess(corrupted(family)))
    torch.testing.assert_close(typicality.learned(given), typicality.odds(given), atol=0.01, rtol=0.01)


def test_the_odds_are_zero_before_fit_and_after_forget(typicality):
    other = Typicality(DEPTH)
    other.load_state_dict(typicality.state_dict())
    assert other.is_fitted
    other.forget()
    for module in (other, Typicality(DEPTH)):
        assert not module.is_fitted
        assert (module.odds(observation(images={DEPTH: corrupted('axial_noise')})) == 0).all()


def test_shares_are_those_of_the_pixels_with_a_measurement():
    images = torch.zeros(1, 1, 8, 8)
    images[..., 4:] = 0.5
    images[..., 0] = LEAST_VALID - 0.5
    across = difference_shares(images)[0, :11].exp() - 1e-3
    # Six differences a row are measured; one of them is the jump, in the bin up to 0.8.
    assert across.tolist() == pytest.approx([5 / 6, *[0] * 8, 1 / 6, 0], abs=1e-5)
    assert torch.isfinite(difference_shares(torch.full((1, 1, 8, 8), -3.0))).all()
