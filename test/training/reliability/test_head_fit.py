"""Fitting a profiled head to evidence: what it learns of sensors that it has not seen."""
import numpy as np
import pytest
import torch

from rsgmamba_ros.network.reliability.profiled.head import ProfiledHead, QUESTIONS
from rsgmamba_ros.training.reliability.head_fit import (
    calibrate_head,
    fit_head,
    fit_level,
    HeadFitConfig,
    SensorEvidence,
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
    for index, name in enumerate(('rgb', 'auxiliary')):
        part = head.layout[name]
        figures[question == index, part.start:part.start + 12] += 4.0
    target = np.where(question < 0, 1.0, 0.25).astype(np.float32)
    reference = np.arange(images) < 20
    return SensorEvidence(f'sensor {seed}', figures.astype(np.float32), target, question, reference)


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
    references = torch.from_numpy(new.figures[new.reference])
    expected = fitted.normality.posterior(references.mean(0), references.var(0), 20.0)
    given = reliabilities(fitted, new, expected)
    for index in range(len(AXIS)):
        others = ~new.reference & (new.question != index)
        assert given[new.question == index, index].max() < given[others, index].min()


def test_the_members_of_a_question_see_no_departure_of_the_other_image(fitted):
    new = sensor(fitted, 7)
    part = fitted.layout['auxiliary']
    changed = new.figures.copy()
    changed[:, part] += 3.0
    for figures in (new.figures, changed):
        departures = fitted.departures(torch.from_numpy(figures), ['rgb'])['rgb']
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


def test_every_question_has_members_of_its_own(fitted):
    assert set(fitted.members) == set(QUESTIONS)
