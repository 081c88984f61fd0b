"""Casts rays into a synthetic world and fills geometry buffers, one analytic solid after another.

H, W image size. Buffers are float32 or indices; distances are metres along the optical axis.
"""
from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, floor, sin

import numpy as np

from rsgmamba_ros.data.synthetic.world import BACKGROUND, FLOOR, Part, Pose, Surface, Vector, World

_EPSILON = np.float32(1e-6)
_NEAREST_M = 0.2


@dataclass(frozen=True, eq=False)
class GeometryBuffers:
    """What the rays of the camera hit, for each pixel.

    Attributes:
        depth: metres along the optical axis, (H, W).
        surface: index in `surfaces` and `labels`, (H, W) uint8.
        normal: unit surface normals in world axes, (3, H, W).
        texture: coordinates on the surface, metres, (2, H, W).
        shadow: share of the direct light that arrives, less beneath objects, (H, W) in (0, 1].
        facing: cosine between ray and normal, (H, W) in [0, 1].
        plane: 0 side wall, 1 floor or ceiling, 2 far wall, 255 object, (H, W) uint8.
        surfaces: S surfaces.
        labels: class of each surface, (S,) uint8.
    """

    depth: np.ndarray
    surface: np.ndarray
    normal: np.ndarray
    texture: np.ndarray
    shadow: np.ndarray
    facing: np.ndarray
    plane: np.ndarray
    surfaces: tuple[Surface, ...]
    labels: np.ndarray


class Camera:
    """A pinhole camera with the field of view of the Kinect: focal length 525 px at a width of 640."""

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.focal_px = 525.0 / 640.0 * width
        self.centre = ((width - 1) / 2, (height - 1) / 2)
        self._u = ((np.arange(width, dtype=np.float32) - self.centre[0]) / self.focal_px)[None, :]
        self._v = ((np.arange(height, dtype=np.float32) - self.centre[1]) / self.focal_px)[:, None]

    def pose(self, world: World, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Position, (3,), and rotation camera -> world, (3, 3), at a time; the camera pans and sways slowly."""
        sway, phase = world.camera_sway
        yaw, pitch = sway * sin(0.45 * time_s + phase), world.camera_pitch + 0.15 * sway * sin(0.8 * time_s)
        position = np.array([0.12 * sin(0.3 * time_s + phase), -world.camera_height_m, 0.0])
        turn = np.array([[cos(yaw), 0, sin(yaw)], [0, 1, 0], [-sin(yaw), 0, cos(yaw)]])
        tilt = np.array([[1, 0, 0], [0, cos(pitch), sin(pitch)], [0, -sin(pitch), cos(pitch)]])
        return position, turn @ tilt

    def rays(self, rotation: np.ndarray) -> np.ndarray:
        """Directions of the rays of all pixels in world axes, scaled to one metre of depth, (3, H, W)."""
        rotation = rotation.astype(np.float32)
        return np.stack([rotation[i, 0] * self._u + (rotation[i, 1] * self._v + rotation[i, 2]) for i in range(3)])

    def crop(self, point: np.ndarray, radius_m: float) -> tuple[slice, slice] | None:
        """Image rows and columns that a sphere around a point in camera axes can cover; None if it is out of view."""
        if point[2] < _NEAREST_M + radius_m:
            return None
        reach = self.focal_px * radius_m / (point[2] - radius_m) + 1
        x, y = (self.focal_px * point[i] / point[2] + self.centre[i] for i in range(2))
        left, right = max(0, floor(x - reach)), min(self.width, ceil(x + reach) + 1)
        top, bottom = max(0, floor(y - reach)), min(self.height, ceil(y + reach) + 1)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def render_geometry(world: World, camera: Camera, time_s: float) -> GeometryBuffers:
    """Cast one ray for each pixel into the world at a time."""
    position, rotation = camera.pose(world, time_s)
    rays = camera.rays(rotation)
    surfaces, labels = [world.wall, world.floor], [BACKGROUND, FLOOR]
    buffers = _cast_room(world, rays, position)
    for item in world.objects:
        pose = item.pose(time_s)
        _cast_shadow(buffers, camera, rays, position, rotation, pose, item.parts)
        for part in item.parts:
            centre = _part_centre(part, pose)
            crop = camera.crop(rotation.T @ (centre - position), float(np.linalg.norm(part.half)))
            if crop is not None:
                _cast_part(buffers, rays, crop, position - centre, part, pose, len(surfaces))
            surfaces.append(part.surface)
            labels.append(item.label)
    depth, surface, normal, texture, shadow, plane = buffers
    length = np.sqrt(np.einsum('chw,chw->hw', rays, rays))
    facing = np.clip(-np.einsum('chw,chw->hw', rays, normal) / length, 0, 1)
    return GeometryBuffers(depth, surface, normal, texture, shadow, facing, plane,
                           tuple(surfaces), np.array(labels, np.uint8))


_Buffers = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _cast_room(world: World, rays: np.ndarray, position: np.ndarray) -> _Buffers:
    """Buffers of the empty room: depth, surface, normal, texture coordinates, shadow and plane."""
    half_width, height, length = world.size_m
    low = np.array([-half_width, -height, -2.0]) - position
    high = np.array([half_width, 0.0, length]) - position
    distances = []
    for axis in range(3):
        ray = np.where(np.abs(rays[axis]) < _EPSILON, _EPSILON, rays[axis])
        distances.append(np.where(ray > 0, np.float32(high[axis]), np.float32(low[axis])) / ray)
    depth = np.minimum(np.minimum(distances[0], distances[1]), distances[2])
    plane = np.where(depth == distances[2], np.uint8(2), np.where(depth == distances[1], np.uint8(1), np.uint8(0)))
    normal = np.stack([np.where(plane == axis, -np.sign(rays[axis]), np.float32(0)) for axis in range(3)])
    x, y, z = (rays[i] * depth + np.float32(position[i]) for i in range(3))
    texture = np.stack([np.where(plane == 0, z, x), np.where(plane == 1, z, y)])
    surface = ((plane == 1) & (rays[1] > 0)).astype(np.uint8)
    return depth, surface, normal, texture, np.ones_like(depth), plane


def _part_centre(part: Part, pose: Pose) -> np.ndarray:
    x, y, z = part.offset
    z += part.swing_m * sin(pose.phase)
    c, s = cos(pose.heading), sin(pose.heading)
    return np.array([pose.x + c * x + s * z, pose.y + y, pose.z - s * x + c * z])


def _cast_shadow(buffers: _Buffers, camera: Camera, rays: np.ndarray, position: np.ndarray, rotation: np.ndarray,
                 pose: Pose, parts: tuple[Part, ...]) -> None:
    """Darken the floor softly beneath an object."""
    depth, surface, _, _, shadow, _ = buffers
    radius = max(max(abs(p.offset[0]) + p.half[0], abs(p.offset[2]) + p.half[2]) for p in parts)
    foot = np.array([pose.x, 0.0, pose.z])
    crop = camera.crop(rotation.T @ (foot - position), 1.6 * radius)
    if crop is None:
        return
    x = rays[0][crop] * depth[crop] + np.float32(position[0] - foot[0])
    z = rays[2][crop] * depth[crop] + np.float32(position[2] - foot[2])
    dark = 1 - np.float32(0.6) * np.exp((x * x + z * z) * np.float32(-1.2 / radius ** 2))
    # The buffers already hold the objects before this one; only the floor is darkened.
    shadow[crop] *= np.where(surface[crop] == 1, dark, np.float32(1))


def _cast_part(buffers: _Buffers, rays: np.ndarray, crop: tuple[slice, slice], eye: np.ndarray, part: Part,
               pose: Pose, index: int) -> None:
    """Write one solid into the buffers where it is nearest.

    Args:
        eye: position of the camera relative to the centre of the solid, world axes.
        index: of its surface.
    """
    c, s = np.float32(cos(pose.heading)), np.float32(sin(pose.heading))
    dx, dy, dz = (rays[i][crop] for i in range(3))
    ray = (c * dx - s * dz, dy, s * dx + c * dz)
    origin: _Origin = (c * np.float32(eye[0]) - s * np.float32(eye[2]), np.float32(eye[1]),
                       s * np.float32(eye[0]) + c * np.float32(eye[2]))
    distance, local_normal = _SOLIDS[part.shape](ray, origin, part.half)
    depth, surface, normal, texture, shadow, plane = buffers
    hit = (distance < depth[crop]) & (distance > _NEAREST_M)
    np.copyto(depth[crop], distance, where=hit)
    np.copyto(surface[crop], np.uint8(index), where=hit)
    np.copyto(plane[crop], np.uint8(255), where=hit)
    np.copyto(shadow[crop], np.float32(1), where=hit)
    nx, ny, nz = local_normal
    for target, value in zip(normal, (c * nx + s * nz, ny, c * nz - s * nx)):
        np.copyto(target[crop], value, where=hit)
    reach = np.minimum(distance, np.float32(99))
    point = [origin[i] + ray[i] * reach for i in range(3)]
    # Any continuous map of coordinates is good enough; this one keeps horizontal rings horizontal.
    np.copyto(texture[0][crop], point[0] + point[2], where=hit)
    np.copyto(texture[1][crop], point[1], where=hit)


_Planes = tuple[np.ndarray, np.ndarray, np.ndarray]
_Origin = tuple[np.float32, np.float32, np.float32]


def _hit_ellipsoid(ray: _Planes, origin: _Origin, half: Vector) -> tuple[np.ndarray, _Planes]:
    inverse = [np.float32(1 / h) for h in half]
    d = [ray[i] * inverse[i] for i in range(3)]
    o = [origin[i] * inverse[i] for i in range(3)]
    distance = _solve_nearest(d[0] * d[0] + d[1] * d[1] + d[2] * d[2], d[0] * o[0] + d[1] * o[1] + d[2] * o[2],
                              o[0] ** 2 + o[1] ** 2 + o[2] ** 2 - 1)
    normal = [(o[i] + d[i] * np.minimum(distance, np.float32(99))) * inverse[i] for i in range(3)]
    scale = 1 / np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2 + _EPSILON)
    return distance, (normal[0] * scale, normal[1] * scale, normal[2] * scale)


def _hit_cylinder(ray: _Planes, origin: _Origin, half: Vector) -> tuple[np.ndarray, _Planes]:
    """An upright cylinder of radius half[0], without caps: it stands on the floor, and its top is above the camera."""
    radius = np.float32(half[0])
    distance = _solve_nearest(ray[0] ** 2 + ray[2] ** 2, ray[0] * origin[0] + ray[2] * origin[2],
                              origin[0] ** 2 + origin[2] ** 2 - radius ** 2)
    reach = np.minimum(distance, np.float32(99))
    distance[np.abs(origin[1] + ray[1] * reach) > half[1]] = np.inf
    normal = ((origin[0] + ray[0] * reach) / radius, np.zeros_like(reach), (origin[2] + ray[2] * reach) / radius)
    return distance, normal


def _hit_cuboid(ray: _Planes, origin: _Origin, half: Vector) -> tuple[np.ndarray, _Planes]:
    entries, exits = [], []
    for i in range(3):
        inverse = 1 / np.where(np.abs(ray[i]) < _EPSILON, _EPSILON, ray[i])
        middle, reach = -origin[i] * inverse, np.abs(inverse) * np.float32(half[i])
        entries.append(middle - reach)
        exits.append(middle + reach)
    entry = np.maximum(np.maximum(entries[0], entries[1]), entries[2])
    leave = np.minimum(np.minimum(exits[0], exits[1]), exits[2])
    distance = np.where(entry < leave, entry, np.float32(np.inf))
    x, y, z = (np.where(entries[i] == entry, -np.sign(ray[i]), np.float32(0)) for i in range(3))
    return distance, (x, y, z)


def _solve_nearest(a: np.ndarray, b: np.ndarray, c: np.float32) -> np.ndarray:
    """Smaller root of a t^2 + 2 b t + c = 0; inf without a root."""
    root = b * b - a * np.float32(c)
    return np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / np.maximum(a, _EPSILON), np.float32(np.inf))


_SOLIDS = {'ellipsoid': _hit_ellipsoid, 'cylinder': _hit_cylinder, 'cuboid': _hit_cuboid}
