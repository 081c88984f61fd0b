"""Batch items are taken apart by availability and put together again in their order."""
import pytest
import torch

from rsgmamba_ros.network.availability import availability_cases, in_batch_order
from rsgmamba_ros.vocabulary.images import Modality

AXIS = (Modality.RGB, Modality.DEPTH)


@pytest.mark.parametrize('available', [
    [[1, 1], [1, 1]], [[1, 1], [1, 0], [1, 1]], [[0, 1], [1, 0]], [[0, 1], [1, 1], [1, 0], [0, 1], [1, 1]]])
def test_what_is_computed_case_by_case_comes_back_in_the_order_of_the_batch(available):
    given = torch.tensor(available, dtype=torch.bool)
    cases = availability_cases(given, AXIS, AXIS)
    for case in cases:
        assert all([modality in case.modalities for modality in AXIS] == given[item].tolist() for item in case.items)
    items = torch.arange(len(given))
    assert torch.equal(in_batch_order(cases, [items[list(case.items)] for case in cases]), items)
