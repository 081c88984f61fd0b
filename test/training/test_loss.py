from dataclasses import replace

import pytest
import torch

from rsgmamba_ros.network.rsgmamba import NetworkOutput
from rsgmamba_ros.training import loss
from rsgmamba_ros.training.loss import Lesson, loss_parts, LossConfig, Targets, total_loss
from rsgmamba_ros.vocabulary.errors import ConfigError


def output_and_targets(batch: int = 4) -> tuple[NetworkOutput, Targets, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, 3, 8, 8, generator=generator)
    reliability_logits = torch.randn(batch, 2, generator=generator)
    maps = tuple(torch.rand(batch, 2, 8 // side, 8 // side, generator=generator) for side in (1, 2))
    label_map = torch.randint(0, 3, (batch, 8, 8), generator=generator)
    targets = Targets(label_map, torch.rand(batch, 2, generator=generator), torch.rand(batch, 2, 8, 8))
    available = torch.tensor([[True, True], [True, False], [False, True], [True, True]])[:batch]
    return NetworkOutput(logits, reliability_logits.sigmoid(), reliability_logits, maps), targets, available


def parts_of(output, targets, available, weights=None, lessons=()):
    return loss_parts(output, targets, available, lessons=lessons, class_weights=weights, ignore_index=255)


def test_the_label_loss_is_the_weighted_cross_entropy_of_labelled_pixels():
    output, targets, available = output_and_targets()
    targets.label_map[0] = 255
    weights = torch.tensor([1.0, 2.0, 0.5])
    parts = parts_of(output, targets, available, weights)
    expected = torch.nn.functional.cross_entropy(output.logits, targets.label_map, weight=weights, ignore_index=255)
    torch.testing.assert_close(parts.sums[0] / parts.counts[0], expected)


def test_what_an_unavailable_modality_holds_does_not_reach_the_loss():
    output, targets, available = output_and_targets()
    expected = parts_of(output, targets, available)
    damaged = output.reliability_logits.masked_fill(~available, float('nan'))
    maps = tuple(stage.masked_fill(~available[..., None, None], float('nan')) for stage in output.reliability_maps)
    given = parts_of(replace(output, reliability_logits=damaged, reliability_maps=maps), targets, available)
    torch.testing.assert_close(given.sums, expected.sums)


def test_halves_of_a_batch_with_common_divisors_add_up_to_the_whole():
    output, targets, available = output_and_targets()
    whole = parts_of(output, targets, available)
    halves = []
    for half in (slice(0, 2), slice(2, 4)):
        part = NetworkOutput(output.logits[half], output.reliability[half], output.reliability_logits[half],
                             tuple(stage[half] for stage in output.reliability_maps))
        some = Targets(targets.label_map[half], targets.reliability[half], targets.reliability_map[half])
        halves.append(parts_of(part, some, available[half]))
    counts = halves[0].counts + halves[1].counts
    config = LossConfig()
    torch.testing.assert_close(sum(total_loss(half, counts, config) for half in halves),
                               total_loss(whole, whole.counts, config))


def test_a_lesson_is_the_divergence_of_every_fourth_pixel_and_moves_its_bundles_alone():
    output, targets, available = output_and_targets()
    logits = output.logits.clone().requires_grad_()
    told = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    lesson = Lesson(torch.tensor([1]), loss.sparse_log_probabilities(told))
    parts = parts_of(replace(output, logits=logits), targets, available, lessons=[lesson])
    own, given = logits[1:2, :, ::4, ::4].log_softmax(1), told[..., ::4, ::4].log_softmax(1)
    torch.testing.assert_close(parts.sums[3] / parts.counts[3], (given.exp() * (given - own)).sum(1).mean())
    gradient, = torch.autograd.grad(parts.sums[3], logits)
    assert gradient[1].abs().sum() > 0 and not gradient[[0, 2, 3]].any()


def test_a_network_without_gates_and_a_batch_without_labels_have_a_finite_loss():
    output, targets, available = output_and_targets()
    targets.label_map[:] = 255
    parts = parts_of(replace(output, reliability_maps=()), targets, available)
    assert torch.isfinite(total_loss(parts, parts.counts, LossConfig()))


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigError):
        LossConfig(reliability=-1)
