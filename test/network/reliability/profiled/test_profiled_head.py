import numpy as np
import pytest
import torch

from rsgmamba_ros.network.reliability.profiled.head import ProfiledHead, QUESTIONS
from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import SensorProfile

DIMS = (4, 6, 8, 8)
AXIS = (Modality.RGB, Modality.DEPTH)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return ProfiledHead(DIMS, AXIS, 1.0).eval().requires_grad_(False)


def observed(batch=2, seed=0):
    """Images and features of pairs."""
    generator = torch.Generator().manual_seed(seed)
    images = {modality: torch.randn(batch, 3, 64, 96, generator=generator).clamp(-2, 2) for modality in AXIS}
    features = {modality: [torch.randn(batch, 64 // stride, 96 // stride, dim, generator=generator)
                           for stride, dim in zip((4, 8, 16, 32), DIMS)] for modality in AXIS}
    return images, features


def profile(head, figures, **changes):
    values = {'auxiliary': Modality.DEPTH, 'images': 20, 'mean': figures.mean(0).numpy(),
              'deviation': figures.std(0).numpy(), **changes}
    return SensorProfile(**values)


def test_each_available_modality_gets_a_logit(head):
    images, features = observed()
    assert set(head(images, features)) == set(AXIS)
    for modality in AXIS:
        alone = head({modality: images[modality]}, {modality: features[modality]})
        assert set(alone) == {modality} and alone[modality].shape == (2,)


def test_a_modality_alone_is_estimated_as_its_look_says(head):
    images, features = observed()
    figures = head.figures({Modality.RGB: images[Modality.RGB]}, {Modality.RGB: features[Modality.RGB]})
    answers = head.answers(head.departures(figures, ['rgb'], *head.normality.prior), torch.zeros(2, 1))
    logits = head({Modality.RGB: images[Modality.RGB]}, {Modality.RGB: features[Modality.RGB]})
    torch.testing.assert_close(logits[Modality.RGB], answers['rgb'], rtol=1e-3, atol=1e-3)


def said(**logits):
    """The same certain logit for every question, but for those that are given."""
    return {question: torch.tensor([logits.get(question, 6.0)]) for question in QUESTIONS}


def test_displaced_images_lose_reliability_both_and_a_wrong_scale_only_depth(head):
    before = head.combined(said(), said())
    displaced = head.combined(said(), said(alignment=-6.0))
    scaled = head.combined(said(), said(scale=-6.0))
    assert all(displaced[modality] < before[modality] - 3 for modality in AXIS)
    assert scaled[Modality.DEPTH] < before[Modality.DEPTH] - 3
    assert scaled[Modality.RGB] == before[Modality.RGB]


def test_without_a_profile_the_members_tell_the_alignment_and_nothing_tells_the_scale(head):
    assert head.combined(said(scale=-9.0))[Modality.DEPTH] > 4
    assert head.combined(said(alignment=-9.0))[Modality.DEPTH] < -4


def test_either_the_members_or_a_signature_can_tell_a_failure(head):
    assert head.combined(said(auxiliary=-9.0), said())[Modality.DEPTH] < -4
    assert head.combined(said(), said(auxiliary=-9.0))[Modality.DEPTH] < -4


def test_an_unreliable_image_is_no_evidence_against_the_other_one(head):
    for shown in (None, said(rgb=-8.0, alignment=-5.0)):
        logits = head.combined(said(rgb=-8.0, alignment=-5.0), shown)
        assert logits[Modality.DEPTH] > 4
        assert logits[Modality.RGB] < -7


def test_a_profile_changes_the_estimate_and_none_takes_it_back(head):
    images, features = observed()
    before = head(images, features)
    head.set_profile(profile(head, head.figures(*observed(batch=8, seed=1))))
    assert not torch.equal(head(images, features)[Modality.DEPTH], before[Modality.DEPTH])
    head.set_profile(None)
    assert torch.equal(head(images, features)[Modality.DEPTH], before[Modality.DEPTH])


def test_a_profile_of_other_cameras_or_another_network_is_refused(head):
    figures = head.figures(*observed())
    with pytest.raises(ProfileError, match='thermal'):
        head.set_profile(profile(head, figures, auxiliary=Modality.THERMAL))
    short = np.zeros(7, np.float32)
    with pytest.raises(ProfileError, match='7 figures'):
        head.set_profile(profile(head, figures, mean=short, deviation=short))


def test_half_precision_around_it_changes_nothing(head):
    images, features = observed()
    expected = head(images, features)
    with torch.autocast('cpu', torch.bfloat16):
        given = head(images, features)
    for modality in AXIS:
        torch.testing.assert_close(given[modality], expected[modality])
