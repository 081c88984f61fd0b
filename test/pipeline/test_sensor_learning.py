"""The schedule of learning a sensor, with a source of figures that is no network."""
import numpy as np
import pytest

from rsgmamba_ros.data.samples import bundle_of
from rsgmamba_ros.pipeline.profiling import REFERENCE_IMAGES
from rsgmamba_ros.pipeline.sensor_learning import SensorLearner
from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

SECOND = 1_000_000_000
RANDOM = np.random.default_rng(0)


class Source:
    modalities = (Modality.RGB, Modality.THERMAL)
    preprocessing = PreprocessingConfig()
    error: str = ''

    def __init__(self):
        self.seen: list[int] = []

    def figures(self, values):
        if self.error:
            raise ProfileError(self.error)
        self.seen.append(round(float(values[Modality.THERMAL][0, 0])))
        return np.zeros(3, np.float32)


def bundle(number):
    thermal = RANDOM.normal(20, 5, (48, 64)).astype(np.float32)
    thermal[0, 0] = number
    return bundle_of({Modality.RGB: RANDOM.integers(0, 255, (48, 64, 3), dtype=np.uint8), Modality.THERMAL: thermal}, 1)


def learned(source, *, rate_hz, seconds, duration_s):
    learner = SensorLearner(source, lambda values, number: (), seconds=seconds,
                            now_ns=5 * SECOND)
    for number in range(round(rate_hz * duration_s)):
        learner.offer(bundle(number), now_ns=5 * SECOND + round(number * SECOND / rate_hz))
    return learner


def test_references_are_spread_over_the_time():
    source = Source()
    profile = learned(source, rate_hz=10, seconds=10, duration_s=10).finish('a test')
    assert source.seen == list(range(0, 100, 5))
    assert (profile.images, profile.source) == (REFERENCE_IMAGES, 'a test')


def test_a_slow_sensor_gives_all_its_images_and_no_more_than_wanted():
    source = Source()
    assert learned(source, rate_hz=1, seconds=10, duration_s=10).finish('').images == 10
    assert learned(Source(), rate_hz=30, seconds=2, duration_s=9).finish('').images == REFERENCE_IMAGES


def test_what_comes_after_the_end_is_not_looked_at():
    source = Source()
    learner = learned(source, rate_hz=1, seconds=10, duration_s=6)
    learner.finish('')
    learner.offer(bundle(99), now_ns=60 * SECOND)
    assert 99 not in source.seen


def test_an_error_of_the_network_is_told_at_the_end_and_not_tried_again():
    source = Source()
    source.error = 'takes no sensor profile'
    learner = learned(source, rate_hz=10, seconds=1, duration_s=1)
    with pytest.raises(ProfileError, match='takes no sensor profile'):
        learner.finish('')


def test_failures_are_inflicted_between_the_references_one_with_each_bundle():
    source = Source()

    def inflict(values, number):
        for name in 'abc':
            yield name, {**values, Modality.THERMAL: values[Modality.THERMAL] + 1000 * (ord(name) - ord('a') + 1)}

    learner = SensorLearner(source, inflict, seconds=10, now_ns=0)
    for number in range(60):
        before = len(source.seen)
        learner.offer(bundle(number), now_ns=round(number * SECOND / 10))
        assert len(source.seen) - before <= 1
    profile = learner.finish('')
    # Six seconds: 12 references, and of the other 48 bundles 36 with a failure.
    assert profile.images == 12
    assert {name: signature.images for name, signature in profile.signatures.items()} == {'a': 12, 'b': 12, 'c': 12}
