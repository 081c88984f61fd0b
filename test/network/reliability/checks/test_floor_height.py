from math import log

import pytest
import torch

from rsgmamba_ros.network.reliability.checks.floor_height import floor_share, FloorHeight
from test.network.reliability.scenes import rooms, UNIT


@pytest.fixture(scope='module')
def fitted() -> FloorHeight:
    module = FloorHeight(3)
    features, images, floor = rooms(120, 0)
    module.fit(features, images, floor, UNIT)
    return module


def test_a_clean_room_has_the_usual_height_whatever_the_tilt(fitted):
    features, images, _ = rooms(40, 1)
    difference, information = fitted(features, images)
    assert (information > 0).all()
    assert (UNIT * difference).abs().mean() < 0.04
    # The stated variance is about right.
    assert 0.3 < float((difference.square() * information).mean()) < 2


@pytest.mark.parametrize('factor', [0.8, 1.2])
def test_a_wrong_scale_shows_in_full(fitted, factor):
    features, images, _ = rooms(40, 1)
    right, _ = fitted(features, images)
    wrong, _ = fitted(features, images + log(factor) / UNIT)
    torch.testing.assert_close(wrong - right, torch.full_like(right, log(factor) / UNIT), atol=0.02, rtol=0)


def test_things_on_the_floor_do_not_move_it(fitted):
    features, images, _ = rooms(40, 1)
    cluttered = images.clone()
    cluttered[..., 70:, 20:60] -= 0.5
    difference, _ = fitted(features, cluttered)
    assert (UNIT * difference).abs().median() < 0.06


def test_without_a_floor_in_sight_there_is_no_information(fitted):
    features, images, _ = rooms(5, 1)
    features[0][..., 0] = 0
    assert (fitted(features, images)[1] == 0).all()


def test_pixels_without_a_measurement_do_not_count(fitted):
    features, images, _ = rooms(20, 1)
    difference, information = fitted(features, images)
    holed = images.clone()
    holed[:, :, ::5] = -3
    torch.testing.assert_close(fitted(features, holed)[0], difference, atol=0.05, rtol=0)
    difference, information = fitted(features, torch.full_like(images, -3))
    assert difference.isfinite().all() and (information == 0).all()


def test_without_labels_the_height_is_fitted_anew_and_the_looks_of_the_floor_stay(fitted):
    other = FloorHeight(3)
    other.load_state_dict(fitted.state_dict())
    other.forget()
    features, images, _ = rooms(60, 3, camera=0.4)
    assert (other(features, images)[1] == 0).all()
    other.fit(features, images, None, UNIT)
    assert other.is_fitted and torch.equal(other.slope, fitted.slope)
    assert (UNIT * other(features, images)[0]).abs().mean() < 0.04
    assert (UNIT * fitted(features, images)[0]).mean() < -0.8


def test_without_any_labelled_floor_nothing_is_fitted():
    module = FloorHeight(3)
    features, images, _ = rooms(60, 3)
    module.fit(features, images, None, UNIT)
    assert not module.is_fitted
    assert (module(features, images)[1] == 0).all()


def test_the_share_of_the_floor_is_that_of_the_padded_image():
    label_map = torch.zeros(24, 32)
    label_map[16:, :16] = 4
    assert floor_share(label_map, 4, (32, 32)).tolist() == [[0, 0], [0.5, 0]]


def test_glimpses_of_the_floor_alone_do_not_tell_the_usual_height():
    module = FloorHeight(3)
    features, images, floor = rooms(60, 0)
    floor = floor.clone()
    # What is labelled is three cells of each image: enough to see it, too little to learn from.
    floor[:, :-1], floor[:, :, 3:] = 0, 0
    features[0][..., 0] = floor
    module.fit(features, images, floor, UNIT)
    assert not module.is_fitted
