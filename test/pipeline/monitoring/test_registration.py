"""Edges of depth against edges of colour: rooms of boxes, and real cameras where their images are there."""
from pathlib import Path

import cv2
import numpy as np
import pytest

from rsgmamba_ros.pipeline.monitoring.registration import (
    BUNDLES,
    COLUMNS,
    Displacement,
    edge_landscape,
    EVERY,
    FEWEST_BUNDLES,
    RADIUS,
    RegistrationMonitor,
)

SENSORS = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'sensors'
CELL = 320 // COLUMNS


def room(seed, *, right=0, down=0, depth_of=None):
    """Boxes with noise on colour and holes in depth, (240, 320, 3) uint8 and (240, 320) metres.

    Args:
        right: pixels by which the depth is displaced.
        depth_of: seed of the room that the depth is of; the same room by default.
    """
    rgb, _ = _boxes(seed)
    _, depth = _boxes(seed if depth_of is None else depth_of)
    rng = np.random.default_rng([seed, 1])
    depth = np.roll(depth, (down, right), (0, 1)) * (1 + rng.normal(0, 0.003, depth.shape))
    depth[rng.random(depth.shape) < 0.05] = np.nan
    return np.clip(rgb + rng.normal(0, 6, rgb.shape), 0, 255).astype(np.uint8), depth.astype(np.float32)


def _boxes(seed):
    rng = np.random.default_rng(seed)
    rgb, depth = np.full((300, 380, 3), 120.0), np.full((300, 380), 4.0)
    for distance in sorted(rng.uniform(1, 3.5, 14), reverse=True):
        top, left = rng.integers(0, 260), rng.integers(0, 340)
        bottom, right = top + rng.integers(25, 90), left + rng.integers(25, 90)
        rgb[top:bottom, left:right] = rng.uniform(20, 230, 3)
        depth[top:bottom, left:right] = distance
        # Patterns that are no edges of depth.
        rgb[top + 8:top + 12, left:right] = rng.uniform(20, 230, 3)
    return rgb[30:270, 30:350], depth[30:270, 30:350]


def watched(rooms):
    monitor = RegistrationMonitor()
    for rgb, depth in rooms:
        landscape = edge_landscape(rgb, depth)
        if landscape is not None:
            monitor.add(landscape)
    return monitor


@pytest.mark.parametrize('right, down', [(-8, 0), (6, 8), (0, -12)])
def test_depth_that_is_always_displaced_is_found_with_its_shift(right, down):
    monitor = watched(room(seed, right=right, down=down) for seed in range(FEWEST_BUNDLES))
    found = monitor.displacement
    assert found is not None
    assert found.across * 320 == pytest.approx(right, abs=CELL)
    assert found.down * 320 == pytest.approx(down, abs=CELL)
    assert f'{100 * found.across:+.1f} % (across) and {100 * found.down:+.1f} % (down)' in monitor.problem
    assert monitor.problem.endswith("of the image width beside the colour edges")


@pytest.mark.parametrize('right', [0, CELL])
def test_registered_depth_is_no_problem_nor_is_a_shift_of_one_cell(right):
    assert watched(room(seed, right=right) for seed in range(2 * BUNDLES)).problem == ''


def test_nothing_is_said_of_few_bundles():
    assert watched(room(seed, right=-12) for seed in range(FEWEST_BUNDLES - 1)).problem == ''


def test_depth_of_another_scene_meets_no_edges_and_that_is_said_after_thirty_bundles():
    pairs = [room(seed, depth_of=seed + 500) for seed in range(BUNDLES)]
    assert watched(pairs[:-1]).problem == ''
    assert 'meet no colour edges' in watched(pairs).problem


def test_a_camera_that_shifts_once_or_twice_is_not_called_displaced():
    assert watched(room(seed, right=-12 if seed in (4, 5) else 0) for seed in range(BUNDLES)).problem == ''


def test_a_displacement_that_ends_is_forgotten_and_one_that_begins_is_found():
    monitor = watched([room(seed, right=-10) for seed in range(BUNDLES)] + [room(seed) for seed in range(90, 190)])
    assert monitor.problem == ''
    monitor = watched([room(seed) for seed in range(BUNDLES)] + [room(seed, right=-10) for seed in range(90, 190)])
    assert monitor.displacement is not None


@pytest.mark.parametrize('rgb, depth', [
    (np.full((240, 320, 3), 90, np.uint8), room(0)[1]),
    (room(0)[0], np.full((240, 320), 2, np.float32)),
    (room(0)[0], np.full((240, 320), np.nan, np.float32))])
def test_images_without_edges_say_nothing(rgb, depth):
    assert edge_landscape(rgb, depth) is None


def test_images_of_different_and_odd_sizes_are_compared_over_the_same_field_of_view():
    rgb, depth = room(3, right=-8)
    landscape = edge_landscape(cv2.resize(rgb, (641, 483)), depth[::2, ::2])
    row, column = np.unravel_index(landscape.argmax(), landscape.shape)
    assert abs(row - RADIUS) <= 1 and abs(column - RADIUS + 8 / CELL) <= 1


def test_every_third_bundle_is_looked_at_and_a_reset_forgets():
    monitor = RegistrationMonitor()
    rgb, depth = room(1, right=-12)
    for _ in range(EVERY * FEWEST_BUNDLES - 1):
        monitor.offer(rgb, depth)
    assert monitor.problem == ''
    monitor.offer(rgb, depth)
    assert monitor.problem != ''
    monitor.reset()
    assert monitor.problem == ''


def recorded(name):
    folder = SENSORS / name
    if not folder.is_dir():
        pytest.skip(f'the images of {name} are not here')
    for path in sorted((folder / 'rgb').glob('*.jpg')):
        depth = cv2.imread(str(folder / 'depth' / f'{path.stem}.png'), cv2.IMREAD_UNCHANGED).astype(np.float32) / 1000
        depth[depth == 0] = np.nan
        yield cv2.imread(str(path))[..., ::-1], depth


@pytest.mark.parametrize('name', ['d4xx_aims_unregistered', 'd4xx_cup_unregistered'])
def test_cameras_that_were_never_registered_are_found(name):
    assert watched(recorded(name)).problem


@pytest.mark.parametrize('name', ['kinect2_sunrgbd', 'd4xx_desk_t265', 'realsense_anygrasp', 'kinect1_room',
                                  'realsense_arm', 'd4xx_boxes'])
def test_registered_cameras_are_no_problem(name):
    assert watched(recorded(name)).problem == ''


def test_a_displacement_is_told_in_per_cent_of_the_width():
    assert str(Displacement(0.1, -0.2)) == ('depth edges lie +10.0 % (across) and -20.0 % (down) of the image width '
                                            'beside the colour edges')
