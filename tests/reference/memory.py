"""The Query Index Memory with dictionaries and sets, one key at a time, in float64."""

import math

import numpy as np

BAND = 1e-4  # Pixels: a key this close to a cell's edge may fall on either side.


def project_key(point, T_world_from_cam, intrinsics):
    R, t = T_world_from_cam[:3, :3].astype(float), T_world_from_cam[:3, 3].astype(float)
    x, y, z = R.T @ (np.asarray(point, float) - t)
    if z <= 1e-6:
        return None
    K = intrinsics.astype(float)
    return K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2], z


def cell_of(u, v, image_size, grid):
    """The patch a pixel lies in, or None outside the image."""
    col, row = math.floor(u * grid[1] / image_size[1]), math.floor(v * grid[0] / image_size[0])
    return row * grid[1] + col if 0 <= col < grid[1] and 0 <= row < grid[0] else None


def view_keys(points, rows, T_world_from_cam, intrinsics, image_size, grid, surface, occlusion):
    """What one view sees: ``{patch: {row, ...}}``, and the same for keys in the band of doubt."""
    seen, doubtful = {}, {}
    for point, row in zip(points, rows, strict=True):
        projected = None if row < 0 else project_key(point, T_world_from_cam, intrinsics)
        if projected is None:
            continue
        u, v, z = projected
        steps = [(i, j) for i in (-BAND, 0, BAND) for j in (-BAND, 0, BAND)]
        cells = {cell_of(u + i, v + j, image_size, grid) for i, j in steps}
        cells.discard(None)
        cell = cell_of(u, v, image_size, grid)
        limits = {
            c: surface.get(c, math.inf) + occlusion if occlusion > 0 else math.inf for c in cells
        }
        sure = len(cells) == 1 and all(abs(z - limit) > 1e-4 for limit in limits.values())
        if sure and z <= limits[cell]:
            seen.setdefault(cell, set()).add(int(row))
        elif not sure:
            for c in cells:
                doubtful.setdefault(c, set()).add(int(row))
    return seen, doubtful


def own_surface(points, point_valid, T_world_from_cam, intrinsics):
    """``{patch: depth}`` of a view's own pooled points."""
    T = T_world_from_cam.astype(float)
    return {
        patch: float(T[:3, 2] @ (points[patch].astype(float) - T[:3, 3]))
        for patch in np.flatnonzero(point_valid)
    }


def clip_keys(points, point_valid, member, poses, intrinsics, image_size, grid, occlusion=0.0):
    """For each frame of a clip, `view_keys` of the keys of the frames before it."""
    views, key_points, key_rows = [], [], []
    for t, (frames_points, ok, masks) in enumerate(zip(points, point_valid, member, strict=True)):
        surface = own_surface(frames_points, ok, poses[t], intrinsics[t])
        camera = (poses[t], intrinsics[t], image_size, grid)
        views.append(view_keys(key_points, key_rows, *camera, surface, occlusion))
        for mask, patch in np.argwhere(masks & ok[None]):
            key_points.append(frames_points[patch])
            key_rows.append(t * len(masks) + mask)
    return views


def index_map(seen, patches, rows):
    """A dictionary of sets as the binary map."""
    dense = np.zeros((patches, rows), bool)
    for patch, members in seen.items():
        dense[patch, sorted(members)] = True
    return dense


def gather_context(index_map, bank, bank_valid=None):
    """Mean bank row of each patch, and where there is one; a tensor and a list."""
    context, present = bank.new_zeros(len(index_map), bank.shape[1]), []
    for patch, members in enumerate(index_map):
        rows = [n for n in range(len(bank)) if members[n] and (bank_valid is None or bank_valid[n])]
        present.append(bool(rows))
        if rows:
            context[patch] = sum(bank[n] for n in rows) / len(rows)
    return context, present
