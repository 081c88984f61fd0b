"""The content of a synthetic world: a room, flat pictures in it, and moving objects made of simple solids.

Axes: x right, y down, z into the room, metres; the floor is y = 0 and the camera stands near x = z = 0.
Temperatures are in kelvin above the ambient temperature of the room.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, hypot, pi, sin

import numpy as np

from rsgmamba_ros.vocabulary.labels import LabelSpace

SYNTHETIC_LABELS = LabelSpace(
    names=('background', 'floor', 'box', 'pillar', 'ball', 'person', 'vehicle'),
    palette=((70, 70, 80), (128, 100, 60), (230, 159, 0), (86, 180, 233), (240, 228, 66), (213, 60, 60), (0, 158, 115)),
)
BACKGROUND, FLOOR, BOX, PILLAR, BALL, PERSON, VEHICLE = range(len(SYNTHETIC_LABELS))

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Surface:
    """How a surface looks to each sensor.

    Attributes:
        colours: two albedos (RGB, 0..1); the pattern blends from the first to the second.
        pattern: one of `textures.PATTERNS`.
        pattern_size_m: side of one texture tile, metres.
        warmth_k: temperature above ambient, kelvin.
        depth_return: probability that a depth sensor gets an echo; low for glass and black paint.
    """

    colours: tuple[Vector, Vector]
    pattern: str
    pattern_size_m: float
    warmth_k: float
    depth_return: float = 1.0


@dataclass(frozen=True)
class Part:
    """One solid of an object.

    Attributes:
        shape: 'ellipsoid', 'cuboid' or upright 'cylinder'.
        offset: of the centre from the foot point of the object, metres; negative y is up.
        half: half sizes along its axes, metres.
        surface: how it looks.
        swing_m: amplitude of the forward and backward swing of legs and arms, metres.
    """

    shape: str
    offset: Vector
    half: Vector
    surface: Surface
    swing_m: float = 0.0


@dataclass(frozen=True)
class Pose:
    """Foot point of an object, metres, heading about the vertical axis (0 is +z) and phase of its swing, radians."""

    x: float
    y: float
    z: float
    heading: float
    phase: float


@dataclass(frozen=True)
class MovingObject:
    """An object on a smooth closed path around `centre` (x, z)."""

    label: int
    parts: tuple[Part, ...]
    centre: tuple[float, float]
    amplitude: tuple[float, float]
    rate_rad_s: tuple[float, float]
    start_phase: tuple[float, float]
    heading: float
    turns_with_path: bool = False
    bounce_m: float = 0.0

    def pose(self, time_s: float) -> Pose:
        """The pose of the object at a time."""
        (ax, az), (wx, wz) = self.amplitude, self.rate_rad_s
        px, pz = (self.start_phase[0] + wx * time_s, self.start_phase[1] + wz * time_s)
        x, z = self.centre[0] + ax * sin(px), self.centre[1] + az * sin(pz)
        heading = self.heading
        if self.turns_with_path:
            # An offset of the speed along z makes the object turn smoothly at the ends of its path.
            heading = float(np.arctan2(ax * wx * cos(px), az * wz * cos(pz) + 0.15))
        return Pose(x, -self.bounce_m * abs(sin(2.5 * px)), z, heading, 5.0 * px)


@dataclass(frozen=True)
class Decal:
    """A flat picture, rug or warm spot: only one kind of sensor sees it.

    Attributes:
        plane: axis of its plane: 0 side walls, 1 floor and ceiling, 2 far wall.
        centre: in the texture coordinates of the plane, metres.
        half: half sizes, likewise.
        is_round: an ellipse instead of a rectangle.
        colour: RGB, 0..1; negative for a warm spot.
        warmth_k: temperature above ambient, kelvin.
    """

    plane: int
    centre: tuple[float, float]
    half: tuple[float, float]
    is_round: bool
    colour: Vector
    warmth_k: float


@dataclass(frozen=True)
class World:
    """One room with its camera and objects.

    Attributes:
        size_m: half width, height and length of the room, metres.
        camera_pitch: downward tilt, radians.
        camera_sway: amplitude of the pan and its phase, radians.
        light: direction to the light (unit vector) and its colour.
        ambient_light: share of the light that has no direction, 0..1.
        exposure: factor of the colour image.
        ambient_c: ambient temperature, degrees Celsius.
    """

    size_m: Vector
    wall: Surface
    floor: Surface
    decals: tuple[Decal, ...]
    objects: tuple[MovingObject, ...]
    camera_height_m: float
    camera_pitch: float
    camera_sway: tuple[float, float]
    light: tuple[Vector, Vector]
    ambient_light: float
    exposure: float
    ambient_c: float


def create_world(rng: np.random.Generator) -> World:
    """Furnish a random room."""
    size = (rng.uniform(2.6, 4.5), rng.uniform(2.7, 3.6), rng.uniform(6.0, 9.0))
    azimuth, elevation = rng.uniform(-pi, pi), rng.uniform(0.5, 1.2)
    light = (cos(elevation) * sin(azimuth), -sin(elevation), -abs(cos(elevation) * cos(azimuth)))
    tint = rng.uniform(-0.12, 0.12)
    wall_grey, floor_grey = rng.uniform(0.5, 0.8), rng.uniform(0.2, 0.42)
    return World(
        size_m=size,
        wall=_two_tone(rng, wall_grey, 0.12, ('plaster', 'bricks', 'blotches'), (1.2, 2.5), (-0.8, 0.8)),
        floor=_two_tone(rng, floor_grey, 0.1, ('tiles', 'planks', 'planks'), (1.0, 2.4), (-4.0, -2.4)),
        decals=tuple(_decal(rng, size) for _ in range(rng.integers(1, 5))),
        objects=_place_objects(rng, size),
        camera_height_m=rng.uniform(1.0, 1.6), camera_pitch=rng.uniform(0.08, 0.24),
        camera_sway=(rng.uniform(0.03, 0.12), rng.uniform(0, 2 * pi)),
        light=(light, (1.0 + tint, 1.0, 1.0 - tint)), ambient_light=rng.uniform(0.35, 0.6),
        exposure=rng.uniform(0.85, 1.35), ambient_c=rng.uniform(15.0, 26.0),
    )


def _two_tone(rng: np.random.Generator, grey: float, contrast: float, patterns: tuple[str, ...],
              size_m: tuple[float, float], warmth_k: tuple[float, float]) -> Surface:
    base = np.clip(grey + rng.normal(0, 0.05, 3), 0.05, 0.95)
    other = np.clip(base - rng.uniform(0.4, 1.6) * contrast, 0.03, 0.95)
    return Surface((tuple(base), tuple(other)), str(rng.choice(patterns)), rng.uniform(*size_m), rng.uniform(*warmth_k))


def _decal(rng: np.random.Generator, size: Vector) -> Decal:
    plane = int(rng.choice([0, 1, 2, 2]))
    if plane == 1:
        centre, half = (rng.uniform(-1.5, 1.5), rng.uniform(2.0, 5.0)), (rng.uniform(0.3, 1.0), rng.uniform(0.3, 1.0))
    else:
        span = (-size[0], size[0]) if plane == 2 else (2.0, size[2])
        centre, half = (rng.uniform(*span), -rng.uniform(0.9, 2.0)), (rng.uniform(0.15, 0.6), rng.uniform(0.15, 0.6))
    # Half are pictures, which only a colour camera sees; half are warm spots, which only a thermal camera sees.
    is_picture = rng.random() < 0.5
    return Decal(plane, centre, half, bool(rng.random() < 0.4),
                 _vivid(rng) if is_picture else (-1.0, -1.0, -1.0), 0.0 if is_picture else rng.uniform(2.0, 9.0))


def _vivid(rng: np.random.Generator, *, strong: int | None = None) -> Vector:
    """A saturated colour: one strong channel gives red, green or blue, two give yellow, magenta or cyan."""
    colour = rng.uniform(0.05, 0.35, 3)
    colour[rng.permutation(3)[:strong or rng.integers(1, 3)]] += rng.uniform(0.3, 0.6)
    return tuple(colour)


def _paint(rng: np.random.Generator, colour: Vector, *, spread: float = 0.05, contrast: float = 0.3,
           pattern: str = 'fine', size_m: float = 0.5, warmth_k: float = 0.0, depth_return: float = 0.995) -> Surface:
    base = np.clip(np.asarray(colour) + rng.normal(0, spread, 3), 0.02, 0.98)
    return Surface((tuple(base), tuple(base * (1 - contrast))), pattern, size_m, warmth_k, depth_return)


def _box(rng: np.random.Generator) -> tuple[Part, ...]:
    half = (rng.uniform(0.25, 0.5), rng.uniform(0.2, 0.5), rng.uniform(0.25, 0.5))
    card = [(0.55, 0.4, 0.24), (0.65, 0.5, 0.33), (0.45, 0.33, 0.22), (0.6, 0.58, 0.55)][rng.integers(4)]
    surface = _paint(rng, card, pattern=str(rng.choice(['tape', 'tape', 'planks'])), size_m=2 * half[1],
                     warmth_k=rng.uniform(-1.6, -0.8) if rng.random() < 0.7 else rng.uniform(0.8, 1.5))
    return (Part('cuboid', (0.0, -half[1], 0.0), half, surface),)


def _pillar(rng: np.random.Generator) -> tuple[Part, ...]:
    radius, height = rng.uniform(0.16, 0.3), rng.uniform(1.8, 3.6)
    colour = [(0.8, 0.8, 0.78), (0.75, 0.7, 0.2), (0.75, 0.3, 0.25)][rng.integers(3)]
    surface = _paint(rng, colour, pattern=str(rng.choice(['rings', 'rings', 'rings', 'plaster'])), contrast=0.55,
                     size_m=rng.uniform(0.6, 1.2), warmth_k=rng.uniform(4.5, 6.0))
    return (Part('cylinder', (0.0, -height / 2, 0.0), (radius, height / 2, radius), surface),)


def _ball(rng: np.random.Generator) -> tuple[Part, ...]:
    radius = rng.uniform(0.22, 0.38)
    base, other = _vivid(rng, strong=2), _vivid(rng) if rng.random() < 0.2 else (0.9, 0.9, 0.88)
    pattern = str(rng.choice(['stripes', 'stripes', 'tiles', 'flat']))
    surface = Surface((base, other), pattern, radius * 1.6, rng.uniform(3.0, 4.2))
    return (Part('ellipsoid', (0.0, -radius, 0.0), (radius,) * 3, surface),)


def _person(rng: np.random.Generator) -> tuple[Part, ...]:
    size = rng.uniform(0.92, 1.1)
    skin = [(0.85, 0.65, 0.52), (0.65, 0.45, 0.33), (0.4, 0.27, 0.2)][rng.integers(3)]
    head = _paint(rng, skin, spread=0.03, warmth_k=rng.uniform(11.0, 14.0))
    shirt = _paint(rng, _vivid(rng), pattern=str(rng.choice(['fine', 'rings'])), warmth_k=rng.uniform(8.0, 10.0))
    trousers = _paint(rng, tuple(rng.uniform(0.06, 0.3, 3)), warmth_k=rng.uniform(6.5, 8.0), depth_return=0.97)
    parts = [Part('ellipsoid', (0.0, -1.6, 0.0), (0.11, 0.15, 0.12), head),
             Part('ellipsoid', (0.0, -1.13, 0.0), (0.23, 0.36, 0.15), shirt)]
    for side in (-1, 1):
        parts.append(Part('ellipsoid', (side * 0.1, -0.42, 0.0), (0.095, 0.46, 0.11), trousers, side * 0.16))
        parts.append(Part('ellipsoid', (side * 0.27, -1.1, 0.0), (0.065, 0.32, 0.075), shirt, -side * 0.12))
    return tuple(Part(p.shape, _scaled(p.offset, size), _scaled(p.half, size), p.surface, p.swing_m) for p in parts)


def _scaled(vector: Vector, size: float) -> Vector:
    x, y, z = vector
    return size * x, size * y, size * z


def _vehicle(rng: np.random.Generator) -> tuple[Part, ...]:
    length, width, height = rng.uniform(0.6, 0.85), rng.uniform(0.36, 0.48), rng.uniform(0.2, 0.3)
    paint = _paint(rng, _vivid(rng, strong=1), pattern='flat', warmth_k=rng.uniform(1.5, 2.5))
    hood = Surface(paint.colours, 'flat', 1.0, rng.uniform(14.0, 20.0))
    glass = _paint(rng, (0.1, 0.13, 0.17), pattern='flat', warmth_k=rng.uniform(0.0, 1.5), depth_return=0.6)
    rubber = _paint(rng, (0.05, 0.05, 0.05), warmth_k=rng.uniform(5.0, 8.0), depth_return=0.9)
    parts = [Part('cuboid', (0.0, -0.14 - height, -0.15 * length), (width, height, 0.85 * length), paint),
             Part('cuboid', (0.0, -0.14 - 0.8 * height, 0.8 * length),
                  (0.9 * width, 0.7 * height, 0.25 * length), hood),
             Part('cuboid', (0.0, -0.28 - 2 * height, -0.2 * length), (0.85 * width, 0.15, 0.5 * length), glass)]
    parts += [Part('ellipsoid', (side * width, -0.18, end * 0.6 * length), (0.07, 0.18, 0.18), rubber)
              for side in (-1, 1) for end in (-1, 1)]
    return tuple(parts)


_Builder = Callable[[np.random.Generator], tuple[Part, ...]]
#: Label, builder, fewest and most in a room, free radius and path amplitude, metres; placed in this order.
_FURNISHING: tuple[tuple[int, _Builder, tuple[int, int], float, float], ...] = (
    (VEHICLE, _vehicle, (1, 1), 0.75, 1.3),
    (PERSON, _person, (1, 2), 0.4, 1.2),
    (PILLAR, _pillar, (1, 2), 0.35, 0.0),
    (BOX, _box, (1, 3), 0.55, 0.6),
    (BALL, _ball, (1, 2), 0.4, 1.0),
)


def _place_objects(rng: np.random.Generator, size: Vector) -> tuple[MovingObject, ...]:
    objects: list[MovingObject] = []
    taken: list[tuple[float, float, float]] = []
    for label, build, (fewest, most), radius, reach in _FURNISHING:
        for _ in range(rng.integers(fewest, most + 1)):
            x, z = _free_position(rng, size, radius, taken)
            taken.append((x, z, radius))
            amplitude = reach * rng.uniform(0.6, 1.0)
            objects.append(MovingObject(
                label, build(rng), (x, z), (amplitude, 0.35 * amplitude),
                (rng.uniform(0.5, 1.0), rng.uniform(0.4, 0.8)), (rng.uniform(0, 2 * pi), rng.uniform(0, 2 * pi)),
                rng.uniform(-pi, pi), turns_with_path=label in (PERSON, VEHICLE),
                bounce_m=rng.uniform(0.0, 0.4) if label == BALL else 0.0))
    return tuple(objects)


def _free_position(rng: np.random.Generator, size: Vector, radius: float,
                taken: list[tuple[float, float, float]]) -> tuple[float, float]:
    """A position in view, away from other objects if one is found in a few tries."""
    x = z = 0.0
    for _ in range(12):
        z = rng.uniform(2.2, min(size[2] - 1.0, 6.0))
        x = rng.uniform(-1, 1) * min(0.5 * z, size[0] - 0.6)
        if all(hypot(x - other_x, z - other_z) > radius + other for other_x, other_z, other in taken):
            break
    return x, z
