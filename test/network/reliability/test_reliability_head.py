"""The learned reliability head: what each logit depends on."""
import pytest
import torch

from rsgmamba_ros.network.reliability.head import AssumedReliability, CorrelationConfig, ReliabilityHead
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH = AXIS = (Modality.RGB, Modality.DEPTH)
DIMS = (8, 8, 8, 8)


@pytest.fixture
def head() -> ReliabilityHead:
    torch.manual_seed(0)
    return ReliabilityHead(DIMS, AXIS, CorrelationConfig(stages=(0, 1, 2), radius=1)).eval().requires_grad_(False)


def inputs() -> tuple[dict[Modality, torch.Tensor], dict[Modality, list[torch.Tensor]]]:
    generator = torch.Generator().manual_seed(1)
    images = {modality: torch.randn(2, 3, 64, 64, generator=generator) for modality in AXIS}
    features = {modality: [torch.randn(2, 64 // stride, 64 // stride, dim, generator=generator)
                           for dim, stride in zip(DIMS, (4, 8, 16, 32))] for modality in AXIS}
    return images, features


def test_each_available_modality_has_a_logit_and_begins_as_reliable(head):
    images, features = inputs()
    for modalities in (AXIS, (RGB,), (DEPTH,)):
        logits = head({m: images[m] for m in modalities}, {m: features[m] for m in modalities})
        assert tuple(logits) == modalities
        assert all(logit.shape == (2,) and (logit > 0).all() for logit in logits.values())


def test_the_logit_depends_on_its_own_image_and_on_how_the_features_of_the_pair_correlate(head):
    images, features = inputs()
    before = head(images, features)
    noisy = head({**images, DEPTH: 3 * images[DEPTH]}, features)
    assert torch.equal(noisy[RGB], before[RGB]) and not torch.equal(noisy[DEPTH], before[DEPTH])
    moved = head(images, {**features, DEPTH: [stage.roll(1, dims=2) for stage in features[DEPTH]]})
    assert all(not torch.equal(moved[modality], before[modality]) for modality in AXIS)
    alone = head({RGB: images[RGB]}, {RGB: features[RGB]})
    assert not torch.equal(alone[RGB], before[RGB])


def test_the_loss_of_the_reliability_does_not_train_the_encoder(head):
    images, features = inputs()
    for stages in features.values():
        for stage in stages:
            stage.requires_grad_(True)
    logits = head.requires_grad_(True)(images, features)
    sum(logit.sum() for logit in logits.values()).backward()
    assert all(stage.grad is None for stages in features.values() for stage in stages)
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_without_estimation_every_available_image_counts_as_reliable():
    images, features = inputs()
    estimated = AssumedReliability()({DEPTH: images[DEPTH]}, {DEPTH: features[DEPTH]})
    assert list(estimated) == [DEPTH] and (torch.sigmoid(estimated[DEPTH]) > 0.999).all()
