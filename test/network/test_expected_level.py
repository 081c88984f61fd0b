import pytest
import torch

from rsgmamba_ros.network.expected_level import ExpectedLevel, mean_level
from rsgmamba_ros.network.typicality import LEAST_VALID


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


def test_clean_images_are_as_expected(expected):
    beyond = expected(*rooms(100, 1))
    assert (beyond == 0).float().mean() == pytest.approx(0.5, abs=0.15)
    assert beyond.max() < 2


@pytest.mark.parametrize('shift', [-0.5, 0.5])
def test_a_wrong_scale_is_not(expected, shift):
    features, images = rooms(100, 1)
    assert expected(features, images + shift).min() > 1
    assert torch.allclose(expected.learned(features, images + shift), -expected(features, images + shift), atol=0.01)


def test_until_it_is_fitted_or_once_it_forgets_every_image_is_as_expected(expected):
    features, images = rooms(5, 2)
    other = ExpectedLevel(12)
    other.load_state_dict(expected.state_dict())
    assert other.is_fitted
    other.forget()
    for module in (other, ExpectedLevel(12)):
        assert not module.is_fitted
        assert (module(features, images + 3) == 0).all()


def test_half_precision_keeps_what_it_knows(expected):
    features, images = rooms(100, 1)
    halved = ExpectedLevel(12)
    halved.load_state_dict({name: value.half().float() for name, value in expected.state_dict().items()})
    assert torch.allclose(halved(features, images + 0.5), expected(features, images + 0.5), atol=0.05)


def test_pixels_without_a_measurement_do_not_count():
    images = torch.ones(2, 3, 4, 4)
    images[0, :, :2] = LEAST_VALID - 0.5
    images[1] = LEAST_VALID - 0.5
    assert mean_level(images).tolist() == [1, 0]
