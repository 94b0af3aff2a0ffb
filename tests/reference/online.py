"""The online fusion in plain NumPy: loops, a union-find, SciPy's assignment, sets for a memory.

Follows the formulas one mask, one row, one key at a time. The core is handed in as an object with
the methods of `moonseg_jax.models.Core`; its own twin is elsewhere.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from tests.reference import models


def cosine(a, b):
    product = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / product) if product > 0 else 0.0


def box_iou(a, b, margin):
    if np.any(a[0] > a[1]) or np.any(b[0] > b[1]):
        return 0.0
    a, b = (np.stack([box[0] - margin, box[1] + margin]) for box in (a, b))
    sides = np.minimum(a[1], b[1]) - np.maximum(a[0], b[0])
    overlap = float(np.prod(np.maximum(sides, 0)))
    union = float(np.prod(a[1] - a[0]) + np.prod(b[1] - b[0])) - overlap
    return overlap / union if overlap > 0 else 0.0


def unpack(planes):
    height, width, words = planes.shape
    masks = [
        (planes[..., i // 32] >> np.uint32(i % 32)) & np.uint32(1) > 0 for i in range(words * 32)
    ]
    return np.stack(masks) if masks else np.zeros((0, height, width), bool)


def coverage_of(mask, grid):
    h, w = grid
    ch, cw = mask.shape[0] // h, mask.shape[1] // w
    corners = [(r * ch, c * cw) for r in range(h) for c in range(w)]
    return np.array([mask[top : top + ch, left : left + cw].mean() for top, left in corners])


def attended(coverage, min_coverage):
    over = coverage > min_coverage
    if not over.any() and coverage.max() > 0:
        over[np.argmax(coverage)] = True
    return over


def merge_union_find(queries, valid, threshold):
    """Components of the likeness graph; the least index of each."""
    parent = list(range(len(queries)))

    def find(i):
        while parent[i] != i:
            i = parent[i]
        return i

    for i in range(len(queries)):
        for j in range(i):
            if valid[i] and valid[j] and cosine(queries[i], queries[j]) >= threshold:
                a, b = find(i), find(j)
                parent[max(a, b)] = min(a, b)
    return np.array([find(i) for i in range(len(queries))])


def merge_greedy(queries, valid, threshold):
    """Disjoint pairs, the most alike first."""
    pairs = [
        (cosine(queries[i], queries[j]), i, j)
        for i in range(len(queries))
        for j in range(i + 1, len(queries))
        if valid[i] and valid[j]
    ]
    group = np.arange(len(queries))
    taken = set()
    for likeness, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if likeness >= threshold and not taken & {i, j}:
            group[j] = i
            taken |= {i, j}
    return group


def assign(score, feasible, threshold, rule):
    """SciPy, where an infeasible pair stands for none: it costs nothing, or more than all others.

    Not quite nothing: E at the threshold is feasible.
    """
    q, n = score.shape
    if not n:
        return np.full(q, -1)
    alone = {"score": 1e-9, "count": 1e4}[rule]
    rows, columns = linear_sum_assignment(np.where(feasible, threshold - score, alone))
    match = np.full(q, -1)
    for i, j in zip(rows, columns, strict=True):
        if feasible[i, j]:
            match[i] = j
    return match


def clipped_box(mask, points, confidence, sigma):
    """Min/max of the cells under a mask, clipped to mean ± sigma deviations."""
    share = coverage_of(mask, confidence.shape).reshape(confidence.shape)
    inside = share > 0.5 if (share > 0.5).any() else share > 0
    inside = inside & np.isfinite(points).all(-1) & (confidence > 0)
    cloud = points[inside]
    if not len(cloud):
        return np.stack([np.full(3, np.inf), np.full(3, -np.inf)])
    low, high = cloud.min(0), cloud.max(0)
    if sigma:
        mean, deviation = cloud.mean(0), cloud.std(0)
        low = np.maximum(low, mean - sigma * deviation)
        high = np.minimum(high, mean + sigma * deviation)
    return np.stack([low, high])


def patch_points(points, confidence, grid):
    """Mean trusted point of each patch, None where there is none."""
    h, w = grid
    ch, cw = points.shape[0] // h, points.shape[1] // w
    trusted = np.isfinite(points).all(-1) & (confidence > 0)
    means = []
    for r in range(h):
        for c in range(w):
            window = np.s_[r * ch : (r + 1) * ch, c * cw : (c + 1) * cw]
            cell = points[window][trusted[window]]
            means.append(cell.mean(0) if len(cell) else None)
    return means


def paint(masks, instance, scores):
    """Row + 1 per pixel: best score on top, then the smaller mask, then the first."""
    image = np.zeros(masks.shape[1:], int)
    order = sorted(range(len(masks)), key=lambda i: (scores[i], -masks[i].sum(), -i))
    for i in order:
        if instance[i] >= 0:
            image[masks[i]] = instance[i] + 1
    return image


@dataclass
class Row:
    query: np.ndarray
    token: np.ndarray
    box: np.ndarray
    observations: int
    score_sum: float
    first_frame: int
    last_frame: int
    patches: set = field(default_factory=set)  # That it covers in the frame it was seen in.


@dataclass
class Online:
    """The whole loop; `rows` is the bank, `keys` maps (voxel, row) to the first point seen."""

    core: object
    config: object
    image_size: tuple[int, int]
    state_tokens: int
    rows: list[Row] = field(default_factory=list)
    keys: dict = field(default_factory=dict)
    frame: int = 0

    def step(self, frame):
        """Returns ``instance`` and ``similarity`` per mask, the id map, and E ``[groups n]``."""
        masks, grid = unpack(frame.masks), frame.features_3d.shape[:2]
        coverage = np.stack([coverage_of(mask, grid) for mask in masks])
        valid = frame.mask_valid & coverage.any(1)
        shown = self.index_map(frame, grid)
        queries = self._queries(frame, coverage, valid, grid, shown)
        online = self.config.online
        merge = merge_union_find if online.merge_rule == "components" else merge_greedy
        group = merge(queries, valid, online.merge_threshold)
        groups = [
            [i for i in range(len(masks)) if valid[i] and group[i] == leader]
            for leader in range(len(masks))
        ]
        groups = [members for members in groups if members]
        seen = [self._observe(frame, masks, coverage, queries, members) for members in groups]
        score = np.array(
            [[self._energy(new, i, shown) for i in range(len(self.rows))] for new in seen]
        )
        score = score.reshape(len(seen), len(self.rows))
        threshold = online.match_threshold * len(self._terms()) / 3
        matched = assign(score, score >= threshold, threshold, online.assignment)
        instance, similarity = np.full(len(masks), -1), np.zeros(len(masks))
        points = patch_points(frame.points, frame.confidence, grid)
        for i, members in enumerate(groups):
            if matched[i] >= 0:
                similarity[members] = score[i, matched[i]]
            row = self._update(seen[i], matched[i])
            instance[members] = row
            self._add_keys(points, seen[i].patches, row)
        self.frame += 1
        return instance, similarity, paint(masks, instance, frame.mask_scores), score

    def index_map(self, frame, grid):
        """The patches that the keys of each row project into, for rows that have any."""
        pose = np.linalg.inv(frame.T_world_from_cam)
        height, width = self.image_size
        found = {}
        for (_, row), point in self.keys.items():
            x, y, z = pose[:3, :3] @ point + pose[:3, 3]
            if z <= 1e-6:
                continue
            u = frame.intrinsics[0, 0] * x / z + frame.intrinsics[0, 2]
            v = frame.intrinsics[1, 1] * y / z + frame.intrinsics[1, 2]
            if 0 <= u < width and 0 <= v < height:
                patch = int(v * grid[0] / height) * grid[1] + int(u * grid[1] / width)
                found.setdefault(row, set()).add(patch)
        return found

    def _queries(self, frame, coverage, valid, grid, shown):
        width = self.core.width
        context = np.array([row.query for row in self.rows]).reshape(len(self.rows), width)
        context_valid = np.array([i in shown for i in range(len(self.rows))], bool)
        tokens = self.core.tokens(frame.features_3d, frame.features_2d)
        queries = self.core.prototypes(tokens, coverage)
        return np.asarray(
            self.core.refine(queries, tokens, coverage, valid, context, context_valid, grid)
        )

    def _observe(self, frame, masks, coverage, queries, members):
        sigma = self.config.online.box_sigma
        boxes = [clipped_box(masks[i], frame.points, frame.confidence, sigma) for i in members]
        tokens = np.zeros((len(members), 0))
        if self.state_tokens:
            attention = frame.state_attention.reshape(self.state_tokens, -1).astype(queries.dtype)
            tokens = np.stack([attention @ coverage[i] for i in members])
        return Row(
            query=queries[members].mean(0),
            token=tokens.mean(0),
            box=np.stack([np.min([b[0] for b in boxes], 0), np.max([b[1] for b in boxes], 0)]),
            observations=1,
            score_sum=float(max(frame.mask_scores[i] for i in members)),
            first_frame=self.frame,
            last_frame=self.frame,
            patches=self._patches(masks[members], frame.features_3d.shape[:2]),
        )

    def _patches(self, masks, grid):
        union = coverage_of(np.any(masks, axis=0), grid)
        return set(np.flatnonzero(attended(union, self.config.model.min_coverage)).tolist())

    def _terms(self):
        terms = self.config.online.terms.split(",")
        return [t for t in terms if t != "state" or self.state_tokens]

    def _energy(self, new, index, shown):
        old, patches = self.rows[index], shown.get(index, set())
        parts = {
            "query": lambda: cosine(new.query, old.query),
            "state": lambda: cosine(new.token, old.token),
            "box": lambda: box_iou(new.box, old.box, self.config.online.box_margin),
            "view": lambda: len(new.patches & patches) / max(len(new.patches | patches), 1),
        }
        return sum(parts[term]() for term in self._terms())

    def _update(self, new, index):
        if index < 0:
            self.rows.append(new)
            return len(self.rows) - 1
        row = self.rows[index]
        n = row.observations
        row.query = (n * row.query + new.query) / (n + 1)
        row.token = (n * row.token + new.token) / (n + 1)
        row.box = np.stack([np.minimum(row.box[0], new.box[0]), np.maximum(row.box[1], new.box[1])])
        row.observations += 1
        row.score_sum += new.score_sum
        row.last_frame = self.frame
        return index

    def _add_keys(self, points, seen, row):
        voxel = self.config.memory.voxel
        for patch in sorted(seen):
            point = points[patch]
            if point is not None:
                # In the points' own precision, as the table does it.
                cell = tuple(int(x) for x in np.floor(point / point.dtype.type(voxel)))
                self.keys.setdefault((cell, int(row)), point)


@dataclass
class TorchCore:
    """The core's own twin (`tests.reference.models`), NumPy in and out."""

    params: dict
    config: object
    width: int

    def tokens(self, features_3d, features_2d):
        dtype = next(iter(self.params.values())).dtype
        both = (torch.from_numpy(np.array(x)).to(dtype) for x in (features_3d, features_2d))
        return models.tokens(self.config, *both).detach()

    def prototypes(self, tokens, coverage):
        coverage = torch.from_numpy(coverage).to(tokens.dtype)
        return models.prototypes(self.params, self.config, tokens, coverage).detach()

    def refine(self, queries, tokens, coverage, valid, context, context_valid, grid):
        coverage, context = (torch.from_numpy(x).to(tokens.dtype) for x in (coverage, context))
        masks = torch.from_numpy(valid), context, torch.from_numpy(context_valid)
        args = (self.params, self.config, queries, tokens, coverage, *masks, grid)
        return models.refine(*args).detach().numpy()
