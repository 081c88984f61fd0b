import pytest
import torch

from rsgmamba_ros.network.reliability.checks.expected_level import ExpectedLevel, mean_level
from rsgmamba_ros.network.reliability.checks.typicality import LEAST_VALID


def rooms(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features that tell of the size of a room but for some noise, and flat depth at that distance."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 12, generator=generator) * torch.linspace(0.5, 3, 12) + 1
    level = features[:, :4].sum(1) / 8 + 0.05 * torch.randn(count, generator=generator)
    return features, level[:, None, None, None].expand(-1, 3, 8, 8).clone()


@pytest.fixture(scope='module')
def expected() -> ExpectedLevel:
    module = ExpectedLevel(12)
    module.fit(*rooms(200, 0))
    return module.requires_grad_(False)


def test_clean_images_are_as_expected_and_it_knows_how_closely(expected):
    difference, information = expected(*rooms(100, 1))
    assert difference.abs().mean() < 0.1
    assert float((difference.square() * information).mean()) == pytest.approx(1, abs=0.4)


@pytest.mark.parametrize('shift', [-0.5, 0.5])
def test_a_wrong_scale_shows_in_full(expected, shift):
    features, images = rooms(100, 1)
    torch.testing.assert_close(expected(features, images + shift)[0], expected(features, images)[0] + shift)


def test_until_it_is_fitted_or_once_it_forgets_it_knows_nothing(expected):
    features, images = rooms(5, 2)
    other = ExpectedLevel(12)
    other.load_state_dict(expected.state_dict())
    assert other.is_fitted
    other.forget()
    for module in (other, ExpectedLevel(12)):
        assert not module.is_fitted
        assert (module(features, images + 3)[1] == 0).all()


def test_pixels_without_a_measurement_do_not_count():
    images = torch.ones(2, 3, 4, 4)
    images[0, :, :2] = LEAST_VALID - 0.5
    images[1] = LEAST_VALID - 0.5
    assert mean_level(images).tolist() == [1, 0]
