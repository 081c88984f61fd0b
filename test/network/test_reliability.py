"""The reliability head as a whole: which evidence reaches which modality."""
import pytest
import torch

from rsgmamba_ros.network.presets import EDGE_CORRELATION
from rsgmamba_ros.network.reliability import ReliabilityHead

DIMS = (8, 8, 8, 8)


@pytest.fixture(scope='module')
def head():
    torch.manual_seed(0)
    head = ReliabilityHead(DIMS, 2, EDGE_CORRELATION, expected_level=True).eval().requires_grad_(False)
    head.expected_level.fit(torch.randn(60, DIMS[-1]), 0.1 * torch.randn(60, 3, 64, 64))
    return head


def judge(head, *modalities):
    """Logits with what the head expects to be usual, and with nothing unusual."""
    generator = torch.Generator().manual_seed(1)
    images = {modality: torch.randn(1, 3, 64, 64, generator=generator) for modality in range(2)}
    images[1] = images[1][:, :1].expand(-1, 3, -1, -1) + 2  # far from the level that was fitted
    features = {modality: [torch.randn(1, 64 // stride, 64 // stride, dim, generator=generator)
                           for dim, stride in zip(DIMS, (4, 8, 16, 32))] for modality in range(2)}
    return head({m: images[m] for m in modalities}, {m: features[m] for m in modalities})


def test_an_unexpected_level_lowers_the_auxiliary_modality_alone_as_far_as_rgb_is_trusted(head):
    with_level = judge(head, 0, 1)
    known = head.expected_level.known.clone()
    head.expected_level.forget()
    without = judge(head, 0, 1)
    head.expected_level.known.copy_(known)
    assert torch.equal(with_level[0], without[0])
    lowered = float(without[1] - with_level[1])
    assert lowered > 1
    head.output[0].bias.sub_(20)
    assert float(without[1] - judge(head, 0, 1)[1]) < 0.01 * lowered
    head.output[0].bias.add_(20)


def test_an_auxiliary_image_alone_is_not_held_against_what_rgb_would_show(head):
    alone = judge(head, 1)
    known = head.expected_level.known.clone()
    head.expected_level.forget()
    assert torch.equal(judge(head, 1)[1], alone[1])
    head.expected_level.known.copy_(known)
