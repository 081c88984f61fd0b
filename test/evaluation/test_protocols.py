import numpy as np
import pytest

from rsgmamba_ros.data.corruptions import FAMILIES
from rsgmamba_ros.data.samples import Sample
from rsgmamba_ros.evaluation.protocols import Condition, conditions_of, PROTOCOLS, TARGET_OF_SEVERITY
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH, THERMAL = Modality


def sample() -> Sample:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    depth = rng.uniform(1, 8, (48, 64)).astype(np.float32)
    earlier = Sample(rgb[::-1].copy(), depth[::-1].copy(), np.zeros((48, 64), np.uint8))
    return Sample(rgb, depth, np.zeros((48, 64), np.uint8), earlier=earlier)


@pytest.mark.parametrize('auxiliary', [DEPTH, THERMAL])
def test_the_protocol_all_has_every_family_on_each_modality_and_on_both(auxiliary):
    conditions = conditions_of('all', auxiliary, has_earlier=True)
    for modality in (RGB, auxiliary):
        shown = {(item.kind, item.severity) for item in conditions
                 if item.group == 'corruptions' and item.hit == (modality,)}
        families = {name for name, family in FAMILIES.items() if modality in family.modalities and name != 'missing'}
        assert shown == {(family, severity) for family in families for severity in range(1, 6)}
    assert any(len(item.hit) == 2 for item in conditions if item.group == 'corruptions')
    assert len({item.name for item in conditions}) == len(conditions)


def test_every_protocol_starts_with_the_clean_images():
    for protocol in PROTOCOLS:
        assert conditions_of(protocol, DEPTH, has_earlier=False)[0] == Condition('clean')


def test_without_earlier_images_no_condition_needs_one():
    conditions = conditions_of('all', DEPTH, severities=(3,), has_earlier=False)
    kinds = {name for item in conditions if item.group == 'corruptions' for name in item.kind.split('+')}
    assert kinds and not [name for name in kinds if FAMILIES[name].needs_previous]
    assert {item.severity for item in conditions} == {0, 3}


def test_every_condition_can_be_applied_and_repeats_itself():
    original = sample()
    for condition in conditions_of('all', DEPTH, severities=(2,), has_earlier=True):
        first, second = (condition.apply(sample(), DEPTH, seed=1, index=4) for _ in range(2))
        assert set(first) == {RGB, DEPTH} - set(condition.hit if condition.group == 'missing' else ())
        for modality, image in first.items():
            np.testing.assert_array_equal(image, second[modality])
            clean = original.rgb if modality is RGB else original.auxiliary
            assert image.dtype == clean.dtype
            assert np.array_equal(image, clean, equal_nan=True) == (modality not in condition.hit), condition.name


def test_samples_are_corrupted_differently():
    condition = Condition('corruptions', 'gaussian', (RGB,), 3)
    first, second = (condition.apply(sample(), DEPTH, seed=1, index=index)[RGB] for index in (0, 1))
    assert (first != second).any()


def test_an_unknown_protocol_is_a_known_error():
    with pytest.raises(ConfigError, match='expected one of'):
        conditions_of('clear', DEPTH, has_earlier=True)


def test_a_failure_that_takes_nothing_away_is_no_failure():
    near = sample()
    near.auxiliary[:] = np.minimum(near.auxiliary, 2.9)
    cut = Condition('corruptions', 'range_cutoff', (DEPTH,), 3)  # beyond 3 m
    assert not cut.changes(near, DEPTH, seed=0, index=0)
    assert cut.changes(sample(), DEPTH, seed=0, index=0)
    assert Condition('clean').changes(near, DEPTH, seed=0, index=0)


def test_targets_fall_with_severity_and_severity_three_is_below_half_of_clean():
    assert list(TARGET_OF_SEVERITY) == sorted(TARGET_OF_SEVERITY, reverse=True)
    assert TARGET_OF_SEVERITY[0] == 1 and TARGET_OF_SEVERITY[3] < 0.5
