import numpy as np
import pytest
import torch

from rsgmamba_ros.network.reliability.checks.alignment_check import AlignmentCheck, SHIFTS, with_shifts
from rsgmamba_ros.network.reliability.checks.edge_alignment import EdgeAlignment
from test.network.reliability.scenes import boxes, DEPTH, observation, reference, RGB


def pair(seed: int, shift: tuple[int, int] = (0, 0)) -> tuple[torch.Tensor, torch.Tensor]:
    rgb = boxes(seed) * torch.tensor([1.0, -0.6, 0.8]).view(1, 3, 1, 1)
    rgb = rgb + 0.2 * torch.randn(rgb.shape, generator=torch.Generator().manual_seed(seed))
    return rgb, torch.roll(boxes(seed), shift, (2, 3)).expand(-1, 3, -1, -1)


@pytest.fixture(scope='module')
def check() -> AlignmentCheck:
    edges, aligned, rng = [], [], np.random.default_rng(0)
    for seed in range(60):
        for rgb, auxiliary, is_aligned in with_shifts(*pair(seed), rng):
            edges.append(EdgeAlignment()(rgb, auxiliary))
            aligned.append(float(is_aligned))
    module = AlignmentCheck(RGB, DEPTH)
    module.fit(reference(edges=torch.cat(edges), aligned=torch.tensor(aligned)))
    return module


def odds(check: AlignmentCheck, shift: tuple[int, int]) -> torch.Tensor:
    return torch.cat([check.odds(observation(edges=EdgeAlignment()(*pair(seed, shift)))) for seed in range(100, 130)])


def test_aligned_pairs_are_told_from_moved_ones(check):
    assert check.is_fitted
    aligned, moved = odds(check, (0, 0)), odds(check, (3, -2))
    assert aligned.median() > 1 and moved.median() < -1
    assert (aligned[:, None] > moved[None]).float().mean() > 0.95


def test_the_odds_are_zero_before_fit_and_after_forget(check):
    other = AlignmentCheck(RGB, DEPTH)
    other.load_state_dict(check.state_dict())
    other.forget()
    for module in (other, AlignmentCheck(RGB, DEPTH)):
        assert not module.is_fitted
        assert (odds(module, (3, -2)) == 0).all()


def test_the_pairs_to_fit_to_are_cut_alike_and_the_first_is_aligned():
    rgb = torch.arange(96.0 * 128).view(1, 1, 96, 128).expand(-1, 3, -1, -1)
    pairs = list(with_shifts(rgb, rgb, np.random.default_rng(0)))
    assert [is_aligned for _, _, is_aligned in pairs] == [True, *[False] * SHIFTS]
    assert {tuple(image.shape) for one in pairs for image in one[:2]} == {(1, 3, 90, 122)}
    assert [torch.equal(image, moved) for image, moved, _ in pairs] == [True, *[False] * SHIFTS]
