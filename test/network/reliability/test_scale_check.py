from math import log

import pytest
import torch

from rsgmamba_ros.network.reliability.scale_check import CleanScale, GREATEST_ODDS, ScaleCheck, STEP
from test.network.reliability.test_floor_height import rooms, UNIT


def clean(count: int, seed: int) -> CleanScale:
    features, images, floor = rooms(count, seed)
    # RGB tells the room's depth but for a tenth.
    level = images.mean((1, 2, 3)) + 0.1 * torch.randn(count, generator=torch.Generator().manual_seed(seed))
    features[1] = features[1] + level.view(-1, 1, 1, 1)
    return CleanScale(features, images, floor, UNIT)


@pytest.fixture(scope='module')
def check() -> ScaleCheck:
    module = ScaleCheck((2, 1))
    module.fit(clean(120, 0))
    return module


def test_clean_images_are_confirmed_and_wrong_scales_condemned(check):
    given = clean(40, 1)
    assert check.is_fitted and float(check.step) == pytest.approx(STEP / UNIT)
    assert check(given.features, given.images).median() > 2
    for factor in (0.8, 1.2):
        assert check(given.features, given.images + log(factor) / UNIT).median() < -2


def test_who_knows_less_says_less(check):
    given = clean(40, 1)
    without_floor = [given.features[0] * 0, given.features[1]]
    sure, unsure = check(given.features, given.images), check(without_floor, given.images)
    assert unsure.mean() < sure.mean()
    assert check(without_floor, given.images + 9).min() >= -GREATEST_ODDS


def test_a_camera_on_another_robot_is_not_a_wrong_scale(check):
    given = clean(40, 1)
    lower = rooms(40, 1, camera=0.9)
    # The same room, so the same mean as far as RGB can tell.
    lower = check(lower[0][:1] + given.features[1:], lower[1])
    assert check(given.features, given.images + log(0.9 / 1.4) / UNIT).median() < lower.median() - 1


def test_nothing_is_known_before_it_is_fitted_and_once_it_forgets(check):
    given = clean(5, 1)
    other = ScaleCheck((2, 1))
    other.load_state_dict(check.state_dict())
    other.forget()
    for module in (other, ScaleCheck((2, 1))):
        assert not module.is_fitted
        assert (module(given.features, given.images + 2) == 0).all()


def test_what_is_no_distance_has_a_level_but_no_floor():
    given = clean(120, 0)
    module = ScaleCheck((2, 1))
    module.fit(CleanScale(given.features, given.images, given.floor, None))
    assert module.is_fitted and not module.floor.is_fitted
    odds = module(given.features, given.images)
    assert odds.median() > 0
    assert module(given.features, given.images + float(module.step)).median() < 0
