import pytest
import torch

from rsgmamba_ros.network.reliability.profiled.normality import EFFECTIVE_IMAGES, Normality, PRIOR_IMAGES


@pytest.fixture
def normality():
    item = Normality(2)
    item.set_prior(torch.tensor([0.0, 10.0]), torch.tensor([4.0, 1.0]), torch.tensor([1.0, 1.0]))
    return item


def test_without_a_profile_what_is_normal_over_sensors_is_expected(normality):
    own, common = normality(torch.tensor([[0.0, 10.0], [5 ** 0.5, 10.0]]))
    torch.testing.assert_close(own, common)
    torch.testing.assert_close(own, torch.tensor([[0.0, 0.0], [1.0, 0.0]]))


def test_a_profile_moves_what_is_expected_towards_its_images_and_narrows_it(normality):
    normality.learn(torch.tensor([6.0, 10.0]), torch.tensor([0.5, 0.5]), 20)
    assert 5 < normality.expected[0] < 6
    assert normality.variance[0] < 2
    own, common = normality(torch.tensor([[6.0, 10.0]]))
    assert abs(own[0, 0]) < 1 < common[0, 0]


def test_more_images_tell_more_of_the_deviation(normality):
    few = normality.posterior(torch.zeros(2), torch.full((2,), 0.01), 5.0)[1]
    many = normality.posterior(torch.zeros(2), torch.full((2,), 0.01), 50.0)[1]
    assert (many < few).all()


def test_a_profile_can_be_forgotten(normality):
    normality.learn(torch.tensor([6.0, 10.0]), torch.tensor([0.5, 0.5]), 20)
    normality.forget()
    own, common = normality(torch.tensor([[3.0, 4.0]]))
    torch.testing.assert_close(own, common)


@pytest.mark.parametrize('images', [1.0, 12.0, 400.0])
def test_what_is_expected_weighs_the_images_against_the_prior_by_their_precisions(images):
    mean, variance = torch.tensor([6.0, 9.0]), torch.tensor([0.25, 2.0])
    common, between, usual = torch.tensor([1.0, 10.0]), torch.tensor([4.0, 0.8]), torch.tensor([1.0, 0.7])
    within = (0.5 * images * variance + PRIOR_IMAGES * usual) / (0.5 * images + PRIOR_IMAGES)
    told, prior = min(images, EFFECTIVE_IMAGES) / within, 1 / between
    expected = (told * mean + prior * common) / (told + prior)
    item = Normality(2)
    item.set_prior(common, between, usual)
    for given in (images, torch.tensor([images])):
        found = item.posterior(mean, variance, given)
        torch.testing.assert_close(found[0], expected)
        torch.testing.assert_close(found[1], within + 1 / (told + prior))
