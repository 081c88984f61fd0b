import pytest
import torch
from torch.nn import functional as F

from rsgmamba_ros.network.reliability.checks.edge_alignment import EdgeAlignment, RADIUS, SIDE
from test.network.reliability.scenes import boxes


def pair(shift: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """RGB with texture of its own, and the auxiliary image moved by (down, right) pixels."""
    rgb = boxes() * torch.tensor([1.0, -0.6, 0.8]).view(1, 3, 1, 1)
    rgb = rgb + 0.05 * torch.randn(rgb.shape, generator=torch.Generator().manual_seed(1))
    return rgb, torch.roll(boxes(), shift, (2, 3)).expand(-1, 3, -1, -1)


@pytest.mark.parametrize('shift', [(0, 0), (4, 0), (0, -6), (-8, 8)])
def test_the_peak_lies_at_the_shift_between_the_images(shift):
    evidence = EdgeAlignment()(*pair(shift))
    assert evidence.shape == (1, EdgeAlignment.size)
    landscape, (below, distance, _, _) = evidence[0, :-4].view(SIDE, SIDE), evidence[0, -4:]
    row, column = divmod(int(landscape.argmax()), SIDE)
    # The auxiliary jumps lie `shift` beyond RGB's edges, so these are found in the opposite direction.
    assert (row - RADIUS, column - RADIUS) == (-shift[0] // 2, -shift[1] // 2)
    assert (below < 0.25) == (shift == (0, 0))
    assert distance == pytest.approx(torch.tensor(shift).float().norm() / 2, abs=1.0)


def test_images_without_edges_give_finite_evidence():
    flat = torch.zeros(1, 3, 64, 64)
    for rgb, auxiliary in ((flat, flat), (boxes()[..., :64, :64].expand(-1, 3, -1, -1), flat)):
        assert EdgeAlignment()(rgb, auxiliary).isfinite().all()


def test_gradients_are_finite_and_batch_items_do_not_influence_each_other():
    pairs = [pair((0, 0)), pair((4, 0))]
    rgb, auxiliary = (torch.cat(images) for images in zip(*pairs))
    rgb.requires_grad_()
    together = EdgeAlignment()(rgb, auxiliary)
    together.sum().backward()
    assert rgb.grad.isfinite().all()
    torch.testing.assert_close(together, torch.cat([EdgeAlignment()(*images) for images in pairs]))


def test_blur_of_one_image_does_not_move_the_peak():
    rgb, auxiliary = pair((0, 0))
    blurred = F.avg_pool2d(rgb, 7, stride=1, padding=3)
    assert EdgeAlignment()(blurred, auxiliary)[0, -3] < 1.2
