from math import log

import pytest
import torch

from rsgmamba_ros.network.encoders.depth_channels import CHANNELS, depth_channels, fill_holes

LOG_RANGE = log(60) / 4


def plane(height=64, width=96):
    """A wall that faces the camera, (1, 1, H, W)."""
    return torch.full((1, 1, height, width), 0.5)


def channel(channels, name):
    return channels[:, CHANNELS.index(name)]


def test_a_wall_faces_the_camera_and_is_valid_everywhere():
    channels = depth_channels(plane(), LOG_RANGE)
    assert channels.shape == (1, len(CHANNELS), 64, 96)
    torch.testing.assert_close(channel(channels, 'distance'), plane()[:, 0])
    assert channel(channels, 'validity').min() == 1
    torch.testing.assert_close(channel(channels, 'normal_z'), torch.ones(1, 64, 96))


def test_a_hole_is_told_from_a_distance_by_its_validity_and_filled_from_around_it():
    image = plane()
    image[..., 20:40, 30:60] = -3.0
    channels = depth_channels(image, LOG_RANGE)
    assert channel(channels, 'validity')[:, 20:40, 30:60].max() == 0
    torch.testing.assert_close(channel(channels, 'distance'), plane()[:, 0])


def test_what_stands_in_a_hole_changes_nothing():
    image, other = torch.randn(1, 1, 64, 64).clamp(-2, 2), None
    image[..., 10:30, 10:30] = -3.0
    other = image.clone()
    other[..., 10:30, 10:30] = -2.9
    torch.testing.assert_close(depth_channels(image, LOG_RANGE), depth_channels(other, LOG_RANGE), rtol=0, atol=0)


def test_normals_have_length_one_and_lean_with_the_slope():
    image = torch.linspace(-1, 1, 96).expand(1, 1, 64, 96).contiguous()
    normals = depth_channels(image, LOG_RANGE)[:, 2:]
    torch.testing.assert_close(normals.square().sum(1), torch.ones(1, 64, 96))
    assert channel(depth_channels(image, LOG_RANGE), 'normal_x')[:, 8:-8, 8:-8].min() > 0.5
    assert channel(depth_channels(image, LOG_RANGE), 'normal_y').abs().max() < 1e-5


@pytest.mark.parametrize('share', [0.0, 1.0])
def test_images_without_any_or_without_one_hole_stay_finite(share):
    image = torch.full((2, 1, 64, 64), -3.0 if share else 1.0)
    assert depth_channels(image, LOG_RANGE).isfinite().all()


def test_filling_keeps_what_is_valid_and_is_smooth_elsewhere():
    values = torch.linspace(0, 1, 64).expand(1, 1, 64, 64).contiguous()
    valid = torch.ones_like(values)
    valid[..., 16:48, 16:48] = 0
    filled = fill_holes(values, valid)
    torch.testing.assert_close(filled[valid > 0], values[valid > 0])
    assert (filled - values).abs().max() < 0.2


@pytest.mark.parametrize('side', [1, 8, 40])
def test_a_distance_fills_the_image_however_small_the_part_is_that_has_it(side):
    values, valid = torch.zeros(1, 1, 64, 96), torch.zeros(1, 1, 64, 96)
    values[..., :side, :side], valid[..., :side, :side] = 0.5, 1
    torch.testing.assert_close(fill_holes(values, valid), torch.full_like(values, 0.5))


def test_the_nearest_distance_is_one_and_what_lies_below_it_is_none():
    image = plane()
    image[..., 0, 0], image[..., 0, 1] = -2.0, -2.6
    assert channel(depth_channels(image, LOG_RANGE), 'validity')[0, 0, :3].tolist() == [1, 0, 1]
