import numpy as np
import pytest

from rsgmamba_ros.data.corruptions import FAMILIES
from rsgmamba_ros.data.samples import Sample
from rsgmamba_ros.training.samples.failures import FailureConfig, inflict, training_families
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH, THERMAL = Modality


def sample(*, has_earlier: bool = True) -> Sample:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    depth = rng.uniform(1, 8, (48, 64)).astype(np.float32)
    earlier = sample(has_earlier=False) if has_earlier else None
    return Sample(rgb, depth, np.zeros((48, 64), np.uint8), earlier=earlier)


def draw(config: FailureConfig, count: int = 200) -> list:
    return [inflict(sample(), DEPTH, config, rng=np.random.default_rng(seed)) for seed in range(count)]


def test_held_out_families_are_never_used():
    for modality in Modality:
        families = training_families(modality, has_earlier=True)
        assert families and not [name for name in families if FAMILIES[name].held_out]
        assert all(modality in FAMILIES[name].modalities for name in families)


def test_without_an_earlier_image_no_family_that_needs_one_is_used():
    assert not [name for name in training_families(DEPTH, has_earlier=False) if FAMILIES[name].needs_previous]


def test_one_modality_is_missing_as_often_as_asked_and_never_both():
    failed = draw(FailureConfig(missing=0.5, corrupted=0))
    available = np.array([[item.available[RGB], item.available[DEPTH]] for item in failed])
    assert available.any(axis=1).all()
    assert 0.35 < (~available).any(axis=1).mean() < 0.65
    assert 0.3 < (~available[:, 0]).sum() / (~available).sum() < 0.7


def test_a_clean_sample_deserves_full_reliability_everywhere():
    for item in draw(FailureConfig(missing=0, corrupted=0), 3):
        assert set(item.reliability.values()) == {1.0}
        assert all((values == 1).all() for values in item.reliability_map.values())


def test_a_corrupted_modality_deserves_less_and_the_other_one_all():
    for item in draw(FailureConfig(missing=0, corrupted=1, both=0), 40):
        assert sorted(value < 1 for value in item.reliability.values()) == [False, True]
        for modality, value in item.reliability.items():
            assert item.reliability_map[modality].min() >= value - 1e-6


def test_a_probability_beyond_one_is_refused():
    with pytest.raises(ConfigError, match='missing'):
        FailureConfig(missing=1.5)
