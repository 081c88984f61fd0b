"""The compiled decision against its plain torch definition."""
import pytest
import torch

from rsgmamba_ros.ops import decision
from rsgmamba_ros.ops.cpu.library import cpu_library_problem
from rsgmamba_ros.ops.decision import decide, decide_by_definition

compiled = pytest.mark.skipif(cpu_library_problem() is not None, reason=f'not compiled: {cpu_library_problem()}')


def random_logits(*shape):
    return 4 * torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@compiled
@pytest.mark.parametrize('shape, size', [
    ((40, 15, 20), (60, 80)), ((13, 8, 9), (32, 36)), ((1, 1, 1), (5, 7)), ((2, 3, 5), (7, 11)), ((5, 7, 9), (7, 9)),
    ((256, 5, 6), (33, 44)), ((3, 8, 8), (9, 31)), ((7, 33, 2), (66, 129)), ((3, 9, 20), (18, 10))], ids=str)
def test_decision_agrees_with_the_definition(shape, size):
    labels, confidence = decide(random_logits(*shape), size)
    expected_labels, expected_confidence = decide_by_definition(random_logits(*shape), size)
    assert labels.dtype == confidence.dtype == torch.uint8
    assert torch.equal(labels, expected_labels)
    # float32 sums in another order: rounding may tip over by one step.
    assert (confidence.int() - expected_confidence.int()).abs().max() <= 1


@compiled
def test_the_first_of_equal_classes_wins():
    labels, confidence = decide(torch.zeros(4, 3, 3), (12, 12))
    assert (labels == 0).all() and (confidence == 64).all()


@compiled
def test_extreme_logits_are_decided():
    logits = torch.tensor([-1e30, 1e30, 3e4]).view(3, 1, 1).expand(3, 4, 4)
    labels, confidence = decide(logits, (16, 16))
    assert (labels == 1).all() and (confidence == 255).all()


def test_other_dtypes_and_layouts_are_taken():
    logits = random_logits(8, 9, 5).bfloat16()
    labels, _ = decide(logits.permute(2, 0, 1), (16, 18))
    assert torch.equal(labels, decide_by_definition(logits.permute(2, 0, 1).float(), (16, 18))[0])


def test_without_a_compiler_the_definition_decides(monkeypatch):
    monkeypatch.setattr(decision, 'cpu_library_problem', lambda: 'no compiler')
    labels, _ = decide(random_logits(3, 4, 4), (8, 8))
    assert torch.equal(labels, decide_by_definition(random_logits(3, 4, 4), (8, 8))[0])
