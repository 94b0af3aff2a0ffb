"""Hand-held camera paths: a walk around the room's free floor, looking from thing to thing."""

from functools import partial

import jax
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from skimage.measure import label

from moonseg_jax.rooms.occlusion import clearance
from moonseg_jax.rooms.scene import Room

_CELL = 0.15  # Metres between grid points of the floor.
_HEIGHTS = (1.25, 1.65)
_MARGIN = 0.25  # Metres kept from everything at the camera's heights.
_STEP = 0.08  # Metres walked per frame.
_LOOK = (12, 28)  # Frames spent on one thing.

_clearance = jax.jit(clearance)


def camera_path(room: Room, seed: int, frames: int, step: float = _STEP) -> np.ndarray:
    """A smooth closed walk, repeated for as long as there are frames; the gaze never repeats.

    Args:
        room: one room.
        seed: any integer >= 0; the same gives the same path.
        frames: number of poses.
        step: metres walked per frame.

    Returns:
        ``T_world_from_cam [t 4 4]`` float32, OpenCV axes, outside every primitive.
    """
    rng = np.random.default_rng([seed, 0x50])
    eyes = _walk(room, rng, frames, step)
    yaw, pitch = _gaze(room, rng, eyes)
    roll = _drift(rng, frames, 0.02)
    return _poses(eyes, yaw, pitch, roll).astype(np.float32)


def _walk(room: Room, rng: np.random.Generator, frames: int, step: float) -> np.ndarray:
    """Positions ``[t 3]``."""
    free, points = _free_floor(room)
    loop = points[_loop(free, rng)]
    speed = np.linalg.norm(np.diff(loop, axis=0, append=loop[:1]), axis=1)
    along = np.concatenate([[0.0], np.cumsum(speed)])
    around = along[-1]
    dense = np.arange(0, around, 0.02)
    closed = np.concatenate([loop, loop[:1]])
    flat = np.stack([np.interp(dense, along, closed[:, k]) for k in (0, 1)], axis=1)
    flat = _smoothed(room, flat)
    at = (rng.uniform(0, around) + np.arange(frames) * step) / 0.02
    turns = at % len(flat)
    wrapped = np.concatenate([flat, flat[:1]])
    xy = np.stack(
        [np.interp(turns, np.arange(len(wrapped)), wrapped[:, k]) for k in (0, 1)], axis=1
    )
    reach = np.ptp(_HEIGHTS) / 2
    height = np.clip(rng.uniform(*_HEIGHTS) + _drift(rng, frames, reach / 2), *_HEIGHTS)
    shake = np.stack([_drift(rng, frames, 0.012, 3.0) for _ in range(3)], axis=1)
    return np.concatenate([xy, height[:, None]], axis=1) + np.clip(shake, -0.03, 0.03)


def _free_floor(room: Room) -> tuple[np.ndarray, np.ndarray]:
    """The largest connected free part of the floor: mask ``[i j]`` and the grid's ``[i j 2]``."""
    sides = [np.arange(-s / 2 + _CELL, s / 2, _CELL) for s in room.size[:2]]
    points = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1)
    # A person keeps off the furniture; where that leaves no way to walk, only the camera does.
    for levels in ((0.3, 0.6, 0.9), ()):
        heights = np.array([*levels, *np.linspace(_HEIGHTS[0], _HEIGHTS[1], 3)])
        stack = np.broadcast_to(points[:, :, None], (*points.shape[:2], len(heights), 2))
        z = np.broadcast_to(heights[:, None], (*stack.shape[:3], 1))
        near = _near(room, np.concatenate([stack, z], axis=-1))
        margin = np.where(heights < 1.0, 0.12, _MARGIN + 0.05)
        parts = np.asarray(label(np.all(near > margin, axis=-1), connectivity=1))
        sizes = np.bincount(parts.ravel())[1:]
        if sizes.size and sizes.max() * _CELL**2 > 2.0:
            return parts == 1 + sizes.argmax(), points
    raise ValueError("the room has no free spot of two square metres for a camera")


def _near(room: Room, points: np.ndarray) -> np.ndarray:
    """`clearance` of ``[*b 3]`` points on the host, padded: few shapes, few compilations."""
    flat = points.reshape(-1, 3).astype(np.float32)
    size = -(-len(flat) // 8192) * 8192
    padded = np.concatenate([flat, np.tile(flat[:1], (size - len(flat), 1))])
    return np.asarray(_clearance(room, padded))[: len(flat)].reshape(points.shape[:-1])


def _loop(free: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Grid indices of a closed way through spread-out spots, in order around their middle."""
    cells = np.argwhere(free)
    number = np.full(free.shape, -1)
    number[free] = np.arange(len(cells))
    spots = [int(rng.integers(len(cells)))]
    while len(spots) < 7:
        apart = np.min([np.linalg.norm(cells - cells[s], axis=1) for s in spots], axis=0)
        spots.append(int(rng.choice(len(cells), p=apart**2 / np.sum(apart**2))))
    offset = cells[spots] - cells[spots].mean(axis=0)
    spots = [spots[k] for k in np.argsort(np.arctan2(offset[:, 1], offset[:, 0]))]
    _, before = csgraph.dijkstra(_graph(free, number), indices=spots, return_predecessors=True)
    way: list[int] = []
    for k, start in enumerate(spots):
        leg, node = [], spots[(k + 1) % len(spots)]
        while node != start:
            node = int(before[k, node])
            leg.append(node)
        way += leg[::-1]
    chosen = cells[way]
    return chosen[:, 0], chosen[:, 1]


def _graph(free: np.ndarray, number: np.ndarray) -> sparse.csr_matrix:
    """Free neighbours, edges dearer close to things."""
    room_around = np.asarray(ndimage.distance_transform_edt(np.pad(free, 1)))[1:-1, 1:-1]
    starts, ends, costs = [], [], []
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        ahead = np.roll(number, (-shift[0], -shift[1]), (0, 1))
        ok = free & (ahead >= 0)
        ok[-1 if shift[0] else slice(0, 0), :] = False
        ok[:, -1 if shift[1] > 0 else (0 if shift[1] < 0 else slice(0, 0))] = False
        starts.append(number[ok])
        ends.append(ahead[ok])
        costs.append(np.hypot(*shift) * (1 + 2 / room_around[ok]))
    entries = (np.concatenate(costs), (np.concatenate(starts), np.concatenate(ends)))
    graph = sparse.csr_matrix(entries, shape=(free.sum(), free.sum()))
    return graph + graph.T


def _smoothed(room: Room, flat: np.ndarray) -> np.ndarray:
    """The smoothest version of a closed walk ``[n 2]`` (a point every 2 cm) that keeps clear."""
    for sigma in (30.0, 22.0, 15.0, 10.0, 6.0, 3.0):
        smooth = ndimage.gaussian_filter1d(flat, sigma, axis=0, mode="wrap")
        levels = np.linspace(_HEIGHTS[0] - 0.03, _HEIGHTS[1] + 0.03, 4)
        points = np.concatenate(
            [np.concatenate([smooth, np.full((len(smooth), 1), z)], axis=1) for z in levels]
        )
        if np.min(_near(room, points)) > _MARGIN - 0.1:
            return smooth
    return flat


def _gaze(room: Room, rng: np.random.Generator, eyes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heading and elevation ``[t]``, radians: from object to object, turning smoothly."""
    things = _middles(room)
    looks = np.zeros(len(things))
    yaw, pitch = np.zeros(len(eyes)), np.zeros(len(eyes))
    heading, until, target = rng.uniform(-np.pi, np.pi), 0, things[0]
    for frame, eye in enumerate(eyes):
        if frame >= until:
            chosen = _next_thing(rng, things - eye, heading, looks)
            looks[chosen] += 1
            target = things[chosen]
            until = frame + int(rng.integers(*_LOOK))
        x, y, z = target - eye
        # Unwrapped, so that smoothing turns the short way.
        heading += (np.arctan2(y, x) - heading + np.pi) % (2 * np.pi) - np.pi
        yaw[frame] = heading
        pitch[frame] = np.clip(np.arctan2(z, np.hypot(x, y)), -0.7, 0.15)
    smooth = partial(ndimage.gaussian_filter1d, sigma=6.0, mode="nearest")
    shake = _drift(rng, len(eyes), 0.02, 3.0), _drift(rng, len(eyes), 0.015, 3.0)
    return smooth(yaw) + shake[0], smooth(pitch) + shake[1]


def _next_thing(
    rng: np.random.Generator, offset: np.ndarray, heading: float, looks: np.ndarray
) -> int:
    """One of the objects, rather 1-4 m away, rather not behind, rather not seen yet, below."""
    apart = np.linalg.norm(offset[:, :2], axis=1)
    turn = np.abs((np.arctan2(offset[:, 1], offset[:, 0]) - heading + np.pi) % (2 * np.pi) - np.pi)
    weight = np.exp(-(((apart - 2.2) / 1.2) ** 2)) * np.exp(-turn / 1.2) + 1e-6
    weight = weight / (1 + looks) ** 2 * np.where(offset[:, 2] > 0, 0.3, 1.0)
    return int(rng.choice(len(offset), p=weight / weight.sum()))


def _middles(room: Room) -> np.ndarray:
    """The middle of every instance's parts, ``[n 3]``."""
    ids, centres = np.asarray(room.primitives.instance), np.asarray(room.primitives.centre)
    return np.stack([centres[ids == i].mean(axis=0) for i in range(1, int(room.count) + 1)])


def _drift(rng: np.random.Generator, frames: int, scale: float, sigma: float = 12.0) -> np.ndarray:
    """Low-pass noise ``[t]`` of standard deviation ``scale``."""
    noise = ndimage.gaussian_filter1d(rng.normal(size=frames + 80), sigma)[40:-40]
    return noise * scale * np.sqrt(2 * np.sqrt(np.pi) * sigma)


def _poses(eyes: np.ndarray, yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Camera axes from angles; z of the world is up, y of the camera is down."""
    zeros = np.zeros_like(yaw)
    forward = np.stack(
        [np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)], -1
    )
    right = np.stack([np.sin(yaw), -np.cos(yaw), zeros], -1)
    down = np.cross(forward, right)
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    poses = np.tile(np.eye(4), (len(eyes), 1, 1))
    poses[:, :3, 0] = c * right + s * down
    poses[:, :3, 1] = c * down - s * right
    poses[:, :3, 2] = forward
    poses[:, :3, 3] = eyes
    return poses
