"""Fitting a profiled head to evidence: what it learns of sensors that it has not seen."""
import numpy as np
import pytest
import torch

from rsgmamba_ros.network.reliability.profiled.head import Expectation, ProfiledHead, QUESTIONS
from rsgmamba_ros.training.reliability.head_fit import (
    calibrate_head,
    fit_head,
    fit_level,
    HeadFitConfig,
    SensorEvidence,
    signatures_of,
)
from rsgmamba_ros.vocabulary.images import Modality

AXIS = (Modality.RGB, Modality.DEPTH)


def sensor(head, seed, images=40):
    """A sensor with a look of its own; corrupted RGB departs in RGB's figures, corrupted depth in those of depth."""
    rng = np.random.default_rng(seed)
    own = 2 * rng.standard_normal(head.layout.figures)
    figures = own + 0.3 * rng.standard_normal((images, head.layout.figures))
    question = np.full(images, -1)
    question[20:] = rng.integers(-1, 2, images - 20)
    # Reference images come once more, corrupted.
    image = np.concatenate((np.arange(images), np.arange(20)))
    figures = np.concatenate((figures, figures[:20]))
    question = np.concatenate((question, np.arange(20) % 2))
    for index, name in enumerate(('rgb', 'auxiliary')):
        part = head.layout[name]
        figures[question == index, part.start:part.start + 12] += 4.0
    target = np.where(question < 0, 1.0, 0.25).astype(np.float32)
    reference = (question < 0) & (image < 20)
    signature = np.where(image < 20, np.array(['rgb/gaussian', 'depth/holes', ''])[question], '')
    return SensorEvidence(f'sensor {seed}', figures.astype(np.float32), target, question, reference, image, signature)


@pytest.fixture(scope='module')
def fitted():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    head = ProfiledHead((4, 6, 8, 8), AXIS, 1.0)
    fit_head(head, [sensor(head, seed) for seed in range(12)], HeadFitConfig(epochs=8, unknown=0.0))
    return head


def reliabilities(head, new, expected=None):
    logits = head.logits(torch.from_numpy(new.figures), head.axis, expected)
    return np.stack([torch.sigmoid(logits[modality]).detach().numpy() for modality in AXIS], axis=1)


def test_a_profile_of_a_new_sensor_tells_its_failures_from_its_look(fitted):
    new = sensor(fitted, 99)
    references = new.figures[new.reference]
    expected = Expectation(
        *fitted.normality.posterior(torch.from_numpy(references.mean(0)), torch.from_numpy(references.var(0)), 20.0),
        fitted.signatures.fitted(torch.from_numpy(references.mean(0)), signatures_of(new, np.arange(20))))
    given = reliabilities(fitted, new, expected)
    for index in range(len(AXIS)):
        others = (new.image >= 20) & (new.question != index)
        assert given[(new.image >= 20) & (new.question == index), index].max() < given[others, index].min()


def test_the_members_of_a_question_see_no_departure_of_the_other_image(fitted):
    new = sensor(fitted, 7)
    part = fitted.layout['auxiliary']
    changed = new.figures.copy()
    changed[:, part] += 3.0
    for figures in (new.figures, changed):
        departures = fitted.departures(torch.from_numpy(figures), ['rgb'], *fitted.normality.prior)['rgb']
        answers = fitted.answers({'rgb': departures}, torch.zeros(len(figures), 1))['rgb']
        if figures is new.figures:
            before = answers
    torch.testing.assert_close(answers, before)


def test_the_level_that_rgb_explains_is_taken_out(fitted):
    head = ProfiledHead((4, 6, 8, 8), AXIS, 1.0)
    sensors = [sensor(head, seed) for seed in range(6)]
    column, pooled = head.layout['level'].start, head.layout['rgb_pooled']
    for item in sensors:
        item.figures[:, column] = item.figures[:, pooled.start] * 2
    before = [item.figures[item.clean, column].std() for item in sensors]
    fit_level(head, sensors)
    after = [item.figures[item.clean, column].std() for item in sensors]
    assert np.mean(after) < 0.5 * np.mean(before)


def test_the_calibration_rises_and_clean_images_keep_a_high_reliability(fitted):
    calibration = calibrate_head(fitted, [sensor(fitted, seed) for seed in range(30, 34)], clean_share=0.9)
    assert set(calibration) == {'rgb', 'depth'}
    for curve in calibration.values():
        assert np.all(np.diff(curve['x']) > 0) and np.all(np.diff(curve['y']) >= 0)
        assert max(curve['y']) > 0.9


def test_every_question_but_the_scale_has_members_of_its_own(fitted):
    assert set(fitted.members) == set(QUESTIONS) - {'scale'}


def test_a_signature_is_the_change_at_the_severity_of_profiles(fitted):
    new = sensor(fitted, 5)
    found = signatures_of(new, np.arange(20))
    assert {name: signature.images for name, signature in found.items()} == {'rgb/gaussian': 10, 'depth/holes': 10}
    part = fitted.layout['rgb']
    change = found['rgb/gaussian'].change[part]
    np.testing.assert_allclose(change[:12], 4.0, atol=1e-5)
    assert not change[12:].any()
