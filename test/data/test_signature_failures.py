import numpy as np
import pytest

from rsgmamba_ros.data.signature_failures import FAILURES, inflict_signatures
from rsgmamba_ros.network.reliability.profiled.signatures import QUESTION_OF_SIGNATURE, TOO_LONG, TOO_SHORT
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH, THERMAL = Modality


def pair(auxiliary):
    rng = np.random.default_rng(0)
    unit = 2.0 + rng.random((60, 80), dtype=np.float32) if auxiliary is DEPTH else \
        20 + 5 * rng.random((60, 80), dtype=np.float32)
    return {RGB: rng.integers(0, 255, (60, 80, 3), np.uint8), auxiliary: unit}


@pytest.mark.parametrize('auxiliary', [DEPTH, THERMAL])
def test_twenty_images_get_every_failure_several_times_and_one_image_fails_at_a_time(auxiliary):
    values, counts = pair(auxiliary), dict.fromkeys(
        (name for name in QUESTION_OF_SIGNATURE if name.split('/')[0] in ('rgb', str(auxiliary))), 0)
    for index in range(20):
        found = list(inflict_signatures(values, index))
        assert len(found) <= 2 * FAILURES
        for name, failed in found:
            counts[name] += 1
            assert sum(not np.array_equal(failed[modality], values[modality], equal_nan=modality is not RGB)
                       for modality in values) == 1
    counts.pop('depth/range_cutoff', None)  # nothing in these images is far away
    assert min(counts.values()) >= 2


def test_a_wrong_scale_is_named_by_its_direction():
    values = pair(DEPTH)
    found = {name: failed for index in range(20) for name, failed in inflict_signatures(values, index)}
    assert found[TOO_LONG][DEPTH].mean() > values[DEPTH].mean() > found[TOO_SHORT][DEPTH].mean()
