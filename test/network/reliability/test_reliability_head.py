"""The reliability head as a whole: which evidence reaches which modality."""
import pytest
import torch

from rsgmamba_ros.network.presets import EDGE_CORRELATION
from rsgmamba_ros.network.reliability.edge_alignment import EdgeAlignment
from rsgmamba_ros.network.reliability.head import ReliabilityHead
from rsgmamba_ros.network.reliability.scale_check import CleanScale

DIMS = (8, 8, 8, 8)


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = ReliabilityHead(DIMS, 2, EDGE_CORRELATION, pair_checks=True).eval().requires_grad_(False)
    # What it is shown lies far from the level that it is fitted to, and all pairs are said to be moved.
    head.scale.fit(CleanScale([torch.randn(60, 4, 4, 8), torch.randn(60, 2, 2, 8)], 0.1 * torch.randn(60, 1, 64, 64),
                              None, 0.7))
    head.alignment.fit(torch.randn(60, EdgeAlignment.size), torch.arange(60.0) % 2)
    head.alignment.slope.zero_()
    head.alignment.offset.fill_(-3)
    return head


def judge(head, *modalities):
    """Logits of the same images, whatever the head knows."""
    generator = torch.Generator().manual_seed(1)
    images = {modality: torch.randn(1, 3, 64, 64, generator=generator) for modality in range(2)}
    images[1] = images[1][:, :1].expand(-1, 3, -1, -1) + 2
    features = {modality: [torch.randn(1, 64 // stride, 64 // stride, dim, generator=generator)
                           for dim, stride in zip(DIMS, (4, 8, 16, 32))] for modality in range(2)}
    logits = head({m: images[m] for m in modalities}, {m: features[m] for m in modalities})
    return {modality: float(logit) for modality, logit in logits.items()}


def test_a_wrong_scale_lowers_the_auxiliary_modality_alone_as_far_as_rgb_is_trusted(head):
    head.alignment.forget()
    with_scale, spoilt = [], []
    for known in (1, 0):
        head.scale.level.known.fill_(known)
        with_scale.append(judge(head, 0, 1))
        head.output[0].bias.sub_(20)
        spoilt.append(judge(head, 0, 1))
        head.output[0].bias.add_(20)
    assert with_scale[0][0] == with_scale[1][0]
    assert with_scale[1][1] - with_scale[0][1] > 1
    assert abs(spoilt[1][1] - spoilt[0][1]) < 0.01


def test_misalignment_lowers_both_modalities(head):
    moved = judge(head, 0, 1)
    head.alignment.forget()
    unknown = judge(head, 0, 1)
    assert all(moved[modality] < unknown[modality] - 0.5 for modality in (0, 1))


def test_what_one_check_finds_in_order_does_not_make_up_for_what_another_finds_amiss(head):
    head.scale.forget()
    head.output[1].bias.fill_(-5)
    head.alignment.forget()
    unknown = judge(head, 0, 1)[1]
    head.alignment.known.fill_(1)
    head.alignment.offset.fill_(20)
    # All that a check can give back is its own doubt.
    assert unknown < -3 and 0 < judge(head, 0, 1)[1] - unknown < 0.1


def test_an_image_alone_is_checked_against_nothing(head):
    alone = judge(head, 0), judge(head, 1)
    head.scale.forget()
    head.alignment.forget()
    assert (judge(head, 0), judge(head, 1)) == alone


def test_logits_are_finite_however_sure_the_head_is(head):
    for bias in (-100, 100):
        for output in head.output:
            output.bias.fill_(bias)
        assert all(abs(logit) < 1000 for logit in judge(head, 0, 1).values())
