"""Cross-scan and cross-merge are each other's adjoint, and visit the map in VMamba's order."""
import pytest
import torch

from rsgmamba_ros.ops.cross_scan import cross_merge, cross_scan
from rsgmamba_ros.ops.selective_scan.cpp import map_order


@pytest.mark.parametrize('height, width', [(3, 5), (4, 4), (1, 7), (6, 1)])
def test_merge_is_the_adjoint_of_scan(height, width):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)
    sequences = torch.randn(2, 4, 3, height * width, generator=generator, dtype=torch.float64)
    left = (cross_scan(maps) * sequences).sum()
    right = (maps * cross_merge(sequences, height, width)).sum()
    torch.testing.assert_close(left, right)


def test_gradient_of_scan_is_merge_and_of_merge_is_scan():
    maps = torch.randn(1, 2, 3, 4, requires_grad=True)
    weights = torch.randn(1, 4, 2, 12)
    (gradient,) = torch.autograd.grad(cross_scan(maps), maps, weights)
    torch.testing.assert_close(gradient, cross_merge(weights, 3, 4))
    sequences = torch.randn(1, 4, 2, 12, requires_grad=True)
    (gradient,) = torch.autograd.grad(cross_merge(sequences, 3, 4), sequences, maps.detach())
    torch.testing.assert_close(gradient, cross_scan(maps.detach()))


def test_merge_of_scan_is_four_times_the_map():
    maps = torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(cross_merge(cross_scan(maps), 5, 7), 4 * maps)


def test_directions_are_rows_columns_and_both_reversed():
    maps = torch.arange(6.0).view(1, 1, 2, 3)
    assert cross_scan(maps)[0, :, 0].tolist() == [
        [0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [5, 4, 3, 2, 1, 0], [5, 2, 4, 1, 3, 0]]


def test_each_direction_can_have_its_own_map():
    maps = torch.randn(2, 4, 3, 2, 5)
    together = cross_scan(maps)
    for direction in range(4):
        torch.testing.assert_close(together[:, direction], cross_scan(maps[:, direction])[:, direction])


def test_compiled_scan_visits_the_same_pixels():
    maps = torch.arange(20.0).view(1, 1, 4, 5)
    assert torch.equal(cross_scan(maps)[0, :, 0].int(), map_order(4, 5))
