"""Signatures of failures: what a failure changes on this sensor, and how much of that an image shows."""
import numpy as np
import pytest
import torch

from rsgmamba_ros.data.corruptions import FAMILIES
from rsgmamba_ros.network.reliability.profiled.signatures import HEALTHY, QUESTION_OF_SIGNATURE, Signatures
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import Signature

FIGURES = 12
COLUMNS = {'rgb': list(range(6)), 'auxiliary': list(range(6, 10)), 'alignment': [10, 11], 'scale': list(range(4, 12))}


def clean(count, seed):
    """Figures of healthy images: the seventh follows the fifth, as a distance follows what RGB shows."""
    figures = torch.randn(count, FIGURES, generator=torch.Generator().manual_seed(seed))
    figures[:, 6] = 2 * figures[:, 4] + 0.05 * figures[:, 6]
    return figures


def change(*columns, size):
    values = np.zeros(FIGURES, np.float32)
    values[list(columns)] = size
    return Signature(values, 20)


@pytest.fixture
def signatures():
    made = Signatures(FIGURES, COLUMNS, Modality.DEPTH)
    made.set_prior([clean(60, seed) + seed for seed in range(4)], [{'depth/holes': change(7, size=3.0)}])
    return made


def shown(signatures, figures, question):
    return signatures(figures, question, signatures.discriminants)


def test_a_failure_shows_along_its_signature_and_on_no_other_question(signatures):
    healthy = clean(40, 9)
    signatures.learn(healthy[:20].mean(0), {'rgb/gaussian': change(0, 1, size=6.0)})
    failed = healthy[20:].clone()
    failed[:, :2] += 6
    before, after = (shown(signatures, figures, 'rgb') for figures in (healthy[20:], failed))
    assert before.min() > HEALTHY and after.max() < 2
    assert torch.equal(shown(signatures, failed, 'auxiliary'), shown(signatures, healthy[20:], 'auxiliary'))


def test_figures_that_vary_together_explain_each_other(signatures):
    """A change of 1 deviation in the seventh figure is plain once the fifth has told what it should be."""
    healthy = clean(80, 3)
    name = 'depth/scale_error+'
    signatures.learn(healthy[:40].mean(0), {name: change(6, size=2.0), 'depth/scale_error-': change(6, size=-2.0)})
    failed = healthy[40:].clone()
    failed[:, 6] += 2
    before, after = (shown(signatures, figures, 'scale') for figures in (healthy[40:], failed))
    assert (after[None] < before[:, None]).float().mean() > 0.9


def test_a_signature_that_no_profile_has_is_the_usual_one(signatures):
    healthy = clean(40, 5)
    signatures.learn(healthy.mean(0), {})
    failed = healthy.clone()
    failed[:, 7] += 3
    assert (shown(signatures, failed, 'auxiliary') < shown(signatures, healthy, 'auxiliary')).all()


def test_forgetting_takes_the_profile_back(signatures):
    before = signatures.discriminants.weights.clone()
    signatures.learn(clean(20, 1).mean(0), {'rgb/gaussian': change(0, size=4.0)})
    assert not torch.equal(signatures.discriminants.weights, before)
    signatures.forget()
    assert not signatures.discriminants.weights.any() and not signatures.discriminants.offsets.any()


def test_every_signature_is_a_family_that_training_may_show():
    for name in QUESTION_OF_SIGNATURE:
        modality, family = name.rstrip('+-').split('/')
        assert Modality(modality) in FAMILIES[family].modalities and not FAMILIES[family].held_out
