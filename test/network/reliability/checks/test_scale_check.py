from math import log

import pytest
import torch

from rsgmamba_ros.network.reliability.checks.scale_check import GREATEST_ODDS, ScaleCheck, STEP
from rsgmamba_ros.network.reliability.contract import ReferenceImages
from test.network.reliability.scenes import DEPTH, observation, reference, rooms, UNIT


def clean(count: int, seed: int, *, unit: float | None = UNIT) -> ReferenceImages:
    features, images, floor = rooms(count, seed)
    # RGB tells the room's depth but for a tenth.
    level = images.mean((1, 2, 3)) + 0.1 * torch.randn(count, generator=torch.Generator().manual_seed(seed))
    features[1] = features[1] + level.view(-1, 1, 1, 1)
    return reference(auxiliary=images, rgb_features=features, floor=floor, unit=unit)


def odds(check: ScaleCheck, features: list[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    return check.odds(observation(images={DEPTH: images}, rgb_features=features))


@pytest.fixture(scope='module')
def check() -> ScaleCheck:
    module = ScaleCheck(DEPTH, (2, 1))
    module.fit(clean(120, 0))
    return module


def test_clean_images_have_good_odds_and_wrong_scales_bad_ones(check):
    given = clean(40, 1)
    assert check.is_fitted and float(check.step) == pytest.approx(STEP / UNIT)
    assert odds(check, given.rgb_features, given.auxiliary).median() > 2
    for factor in (0.8, 1.2):
        assert odds(check, given.rgb_features, given.auxiliary + log(factor) / UNIT).median() < -2


def test_with_less_information_the_odds_are_closer_to_zero(check):
    given = clean(40, 1)
    without_floor = [given.rgb_features[0] * 0, given.rgb_features[1]]
    sure, unsure = (odds(check, features, given.auxiliary) for features in (given.rgb_features, without_floor))
    assert unsure.mean() < sure.mean()
    assert odds(check, without_floor, given.auxiliary + 9).min() >= -GREATEST_ODDS


def test_a_camera_on_another_robot_is_not_a_wrong_scale(check):
    given = clean(40, 1)
    features, images, _ = rooms(40, 1, camera=0.9)
    # The same room, so the same mean as far as RGB can tell.
    lower = odds(check, features[:1] + given.rgb_features[1:], images)
    assert odds(check, given.rgb_features, given.auxiliary + log(0.9 / 1.4) / UNIT).median() < lower.median() - 1


def test_another_height_with_a_mean_that_fits_counts_much_less_than_a_scale_that_is_a_fifth_off(check):
    features, images, _ = rooms(40, 1, camera=0.9)
    # RGB tells the mean of these very images.
    level = images.mean((1, 2, 3)) + 0.1 * torch.randn(40, generator=torch.Generator().manual_seed(1))
    features[1] = features[1] + level.view(-1, 1, 1, 1)
    given = clean(40, 1)
    off = [odds(check, given.rgb_features, given.auxiliary + log(factor) / UNIT).median() for factor in (0.8, 1.2)]
    assert odds(check, features, images).median() > max(off) + 3


def test_the_odds_are_zero_before_fit_and_after_forget(check):
    given = clean(5, 1)
    other = ScaleCheck(DEPTH, (2, 1))
    other.load_state_dict(check.state_dict())
    other.forget()
    for module in (other, ScaleCheck(DEPTH, (2, 1))):
        assert not module.is_fitted
        assert (odds(module, given.rgb_features, given.auxiliary + 2) == 0).all()


def test_without_a_distance_the_mean_is_checked_but_no_floor():
    given = clean(120, 0, unit=None)
    module = ScaleCheck(DEPTH, (2, 1))
    module.fit(given)
    assert module.is_fitted and not module.floor.is_fitted
    assert odds(module, given.rgb_features, given.auxiliary).median() > 0
    assert odds(module, given.rgb_features, given.auxiliary + float(module.step)).median() < 0
