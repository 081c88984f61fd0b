import pytest
import torch

from rsgmamba_ros.network.reliability.profiled.departures import match_of, peaks_of
from rsgmamba_ros.network.reliability.profiled.evidence import depth_evidence, rgb_evidence, thermal_evidence
from rsgmamba_ros.network.reliability.profiled.pair_evidence import pair_evidence, RADIUS, SIDE

LOG_RANGE = 1.0236


@pytest.fixture
def boxes():
    """RGB, (1, 3, H, W) in 0..1, and depth, (1, 1, H, W): boxes at random places, seen by both."""
    generator = torch.Generator().manual_seed(3)
    rgb, depth = torch.full((1, 3, 128, 160), 0.4), torch.full((1, 1, 128, 160), 1.0)
    for _ in range(14):
        y, x = (int(torch.randint(0, size, (1,), generator=generator)) for size in (100, 130))
        rgb[..., y:y + 24, x:x + 24] = torch.rand(1, 3, 1, 1, generator=generator)
        depth[..., y:y + 24, x:x + 24] = float(torch.rand(1, generator=generator)) * 2 - 1.5
    return rgb + 0.01 * torch.randn(rgb.shape, generator=generator), depth


def peak(landscape):
    """Shift of the highest point of a landscape, (SIDE^2,), cells down and across."""
    index = int(landscape.argmax())
    return index // SIDE - RADIUS, index % SIDE - RADIUS


@pytest.mark.parametrize('evidence', [lambda rgb, depth: rgb_evidence(rgb),
                                      lambda rgb, depth: depth_evidence(depth, LOG_RANGE),
                                      lambda rgb, depth: thermal_evidence(depth, LOG_RANGE),
                                      lambda rgb, depth: pair_evidence(rgb, depth, LOG_RANGE)])
def test_evidence_is_finite_for_any_image_and_independent_of_the_batch(evidence, boxes):
    rgb, depth = boxes
    images = torch.cat((rgb, torch.zeros_like(rgb), torch.ones_like(rgb)))
    others = torch.cat((depth, torch.full_like(depth, -3.0), torch.zeros_like(depth)))
    together, alone = evidence(images, others), evidence(rgb, depth)
    assert together.values.isfinite().all() and together.cells.isfinite().all()
    torch.testing.assert_close(together.values[:1], alone.values, rtol=1e-4, atol=1e-4)


def test_the_landscape_of_common_edges_peaks_at_the_shift_between_the_images(boxes):
    rgb, depth = boxes
    assert peak(pair_evidence(rgb, depth, LOG_RANGE).cells[0, 0]) == (0, 0)
    moved = depth.roll(4, dims=-1)  # two cells to the right, so RGB's edges are met two cells to the right
    assert peak(pair_evidence(rgb, moved, LOG_RANGE).cells[0, 0]) == (0, -2)


def test_rims_of_holes_are_an_evidence_of_their_own(boxes):
    rgb, depth = boxes
    holes = torch.where(depth < 0, torch.tensor(-3.0), torch.tensor(1.0))
    landscapes = pair_evidence(rgb, holes, LOG_RANGE).cells[0]
    assert landscapes[0].abs().max() < 0.05  # no distance has an edge
    assert peak(landscapes[1]) == (0, 0)


def test_a_landscape_matches_itself_best_unshifted(boxes):
    cells = pair_evidence(*boxes, LOG_RANGE).cells.flatten(1)
    shifted = cells.unflatten(1, (2, SIDE, SIDE)).roll(2, dims=-1).flatten(1)
    same, moved = match_of(cells, cells), match_of(shifted, cells)
    shifts = same.shape[1] // 2 - 5
    assert same[0, :shifts].argmax() == shifts // 2
    assert moved[0, shifts + 1] > same[0, shifts + 1]  # how much better the best shift matches
    assert moved[0, shifts + 2] > 1                    # and how far it lies away


def test_peaks_tell_where_the_landscape_is_highest(boxes):
    x, y, distance = peaks_of(pair_evidence(*boxes, LOG_RANGE).cells)[0, :3].tolist()
    assert max(abs(x), abs(y), distance) < 1


def test_a_quantised_depth_image_has_more_equal_neighbours():
    smooth = torch.linspace(-1, 1, 160).expand(1, 1, 128, 160) + torch.linspace(0, 0.3, 128)[:, None]
    stepped = (smooth * 20).round() / 20
    values, other = (depth_evidence(image, LOG_RANGE).values for image in (smooth, stepped))
    assert (values - other).abs().max() > 2


def test_stripes_show_in_thermal_evidence():
    image = torch.zeros(1, 1, 128, 160)
    striped = image + 0.5 * (torch.arange(160) % 2)
    assert (thermal_evidence(striped, 1.0).values - thermal_evidence(image, 1.0).values).abs().max() > 3
