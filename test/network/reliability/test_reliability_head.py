"""The reliability head as a whole: which evidence lowers the reliability of which modality."""
import pytest
import torch

from rsgmamba_ros.network.presets import EDGE_CORRELATION
from rsgmamba_ros.network.reliability.head import AssumedReliability, ReliabilityHead
from rsgmamba_ros.vocabulary.images import Modality
from test.network.reliability.scenes import AXIS, DEPTH, reference, RGB

DIMS = (8, 8, 8, 8)


@pytest.fixture
def head() -> ReliabilityHead:
    torch.manual_seed(0)
    head = ReliabilityHead(DIMS, AXIS, EDGE_CORRELATION, pair_checks=True).eval().requires_grad_(False)
    # The test images lie far from the level that the scale check is fitted to, and every pair is found to be moved.
    for check in head.checks:
        check.fit(reference(auxiliary=0.1 * torch.randn(60, 1, 32, 32)))
    alignment(head).slope.zero_()
    alignment(head).offset.fill_(-3)
    return head


def alignment(head):
    return head.pair_checks['alignment'].check


def scale(head):
    return head.pair_checks['scale'].check


def inputs() -> tuple[dict[Modality, torch.Tensor], dict[Modality, list[torch.Tensor]]]:
    generator = torch.Generator().manual_seed(1)
    images = {modality: torch.randn(1, 3, 64, 64, generator=generator) for modality in AXIS}
    images[DEPTH] = images[DEPTH][:, :1].expand(-1, 3, -1, -1) + 2
    features = {modality: [torch.randn(1, 64 // stride, 64 // stride, dim, generator=generator)
                           for dim, stride in zip(DIMS, (4, 8, 16, 32))] for modality in AXIS}
    return images, features


def estimate(head, *modalities: Modality) -> dict[Modality, float]:
    """Gate logits of the same images, whatever the checks are fitted to."""
    images, features = inputs()
    given = head({m: images[m] for m in modalities}, {m: features[m] for m in modalities})
    return {modality: float(logit) for modality, logit in given.gate_logits.items()}


def test_a_wrong_scale_lowers_the_auxiliary_modality_alone_as_far_as_rgb_is_reliable(head):
    alignment(head).forget()
    reliable_rgb, unreliable_rgb = [], []
    for is_fitted in (1, 0):
        scale(head).level.fitted.fill_(is_fitted)
        reliable_rgb.append(estimate(head, *AXIS))
        head.output[RGB].bias.sub_(20)
        unreliable_rgb.append(estimate(head, *AXIS))
        head.output[RGB].bias.add_(20)
    assert reliable_rgb[0][RGB] == reliable_rgb[1][RGB]
    assert reliable_rgb[1][DEPTH] - reliable_rgb[0][DEPTH] > 1
    assert abs(unreliable_rgb[1][DEPTH] - unreliable_rgb[0][DEPTH]) < 0.01


def test_misalignment_lowers_both_modalities(head):
    moved = estimate(head, *AXIS)
    alignment(head).forget()
    unchecked = estimate(head, *AXIS)
    assert all(moved[modality] < unchecked[modality] - 0.5 for modality in AXIS)


def test_what_one_check_finds_in_order_does_not_make_up_for_what_another_finds_wrong(head):
    scale(head).forget()
    head.output[DEPTH].bias.fill_(-5)
    alignment(head).forget()
    unchecked = estimate(head, *AXIS)[DEPTH]
    alignment(head).fitted.fill_(1)
    alignment(head).offset.fill_(20)
    # All that a check can give back is its own doubt.
    assert unchecked < -3 and 0 < estimate(head, *AXIS)[DEPTH] - unchecked < 0.1


def test_an_image_alone_is_checked_against_nothing(head):
    alone = estimate(head, RGB), estimate(head, DEPTH)
    for check in head.checks:
        check.forget()
    assert (estimate(head, RGB), estimate(head, DEPTH)) == alone


def test_logits_are_finite_however_sure_the_head_is(head):
    for bias in (-100, 100):
        for modality in AXIS:
            head.output[modality].bias.fill_(bias)
        assert all(abs(logit) < 1000 for logit in estimate(head, *AXIS).values())


def test_what_is_unlike_all_clean_images_lowers_the_published_reliability_more_than_the_gates():
    torch.manual_seed(0)
    head = ReliabilityHead(DIMS, AXIS, EDGE_CORRELATION, typicality=True).eval().requires_grad_(False)
    images, features = inputs()
    before = head(images, features)
    # Flat images: the noise of the test image is unlike them.
    head.checks[0].fit(reference(auxiliary=torch.linspace(-1, 1, 60).view(60, 1, 1, 1).expand(-1, -1, 32, 32)))
    after = head(images, features)
    lowered = before.gate_logits[DEPTH] - after.gate_logits[DEPTH]
    warned = before.published_logits[DEPTH] - after.published_logits[DEPTH]
    assert 1 < lowered < warned - 2
    for logits in (after.gate_logits, after.published_logits):
        assert torch.equal(logits[RGB], before.gate_logits[RGB])


def test_in_training_the_published_logits_are_those_that_are_trained():
    head = ReliabilityHead(DIMS, AXIS, EDGE_CORRELATION, typicality=True).train()
    estimated = head(*inputs())
    assert estimated.published_logits is estimated.gate_logits


def test_without_estimation_every_available_image_counts_as_reliable():
    images, features = inputs()
    estimated = AssumedReliability()({DEPTH: images[DEPTH]}, {DEPTH: features[DEPTH]})
    assert list(estimated.gate_logits) == [DEPTH] and torch.sigmoid(estimated.gate_logits[DEPTH]) > 0.999
    assert AssumedReliability().checks == []
