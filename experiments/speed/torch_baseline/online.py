"""One step of the online fusion: everything on the device but the assignment, which is SciPy's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

from experiments.speed.torch_baseline.core import TorchCore, attended_patches
from experiments.speed.torch_baseline.frames import patch_of, pool, pool_points, unpack

BITS = 15  # Of a voxel's number on each axis; the row takes the other 18 of a key's code.


@dataclass
class Bank:
    """Rows ``[n ...]``, of which ``count`` are in use; as `moonseg_jax.online.Bank`."""

    queries: Tensor
    tokens: Tensor
    boxes: Tensor
    observations: Tensor
    count: int = 0


@dataclass
class Keys:
    """Keys ``[k ...]`` in order of arrival, and the sorted codes of those in use."""

    points: Tensor
    rows: Tensor
    codes: Tensor

    @property
    def count(self) -> int:
        """Keys in use."""
        return len(self.codes)


@dataclass
class Seen:
    """What a frame says about its groups of masks ``[q ...]``, and E against every row."""

    group: Tensor
    valid: Tensor
    single_valid: Tensor
    queries: Tensor
    tokens: Tensor
    boxes: Tensor
    attended: Tensor
    points: Tensor
    score: Tensor


class OnlineTwin:
    """The loop over frames, in eager PyTorch or with its two halves compiled."""

    def __init__(
        self,
        core: TorchCore,
        config: ConfigDict,
        image_size: tuple[int, int],
        state_tokens: int,
        *,
        device: str,
        rows: int,
        keys: int,
        compiled: bool = False,
    ):
        self.core, self.config, self.image_size = core.to(device), config, image_size
        width = config.model.width
        boxes = torch.tensor([torch.inf, -torch.inf], device=device)[None, :, None]
        self.bank = Bank(
            torch.zeros(rows, width, device=device),
            torch.zeros(rows, state_tokens, device=device),
            boxes.expand(rows, 2, 3).clone(),
            torch.zeros(rows, device=device),
        )
        self.keys = Keys(
            torch.zeros(keys, 3, device=device),
            torch.full((keys,), -1, device=device),
            torch.zeros(0, dtype=torch.int64, device=device),
        )
        self._see = torch.compile(self.see) if compiled else self.see
        self._paint = torch.compile(paint) if compiled else paint
        self._update = torch.compile(update_bank) if compiled else update_bank

    @torch.inference_mode()
    def step(self, frame: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the row of every mask ``[q]`` (-1 = none) and the id map ``[Hm Wm]``."""
        bank, keys = self.bank, self.keys
        seen = self._see(frame, bank.queries, bank.tokens, bank.boxes, keys.points, keys.rows)
        rows = self._assign(seen).to(seen.score.device)
        taken = (rows >= 0).nonzero()[:, 0]
        values = seen.queries[taken], seen.tokens[taken], seen.boxes[taken]
        self._update(bank.queries, bank.tokens, bank.boxes, bank.observations, rows[taken], *values)
        self._add_keys(seen.points, seen.attended, rows)
        instance = torch.where(seen.single_valid, rows[seen.group], -1)
        return instance, self._paint(frame["masks"], instance, frame["mask_scores"])

    def see(
        self,
        frame: dict[str, Tensor],
        queries: Tensor,
        tokens: Tensor,
        boxes: Tensor,
        key_points: Tensor,
        key_rows: Tensor,
    ) -> Seen:
        """Lifting, retrieval, refinement, token, boxes, merge, and E."""
        online, model = self.config.online, self.config.model
        grid = frame["features_3d"].shape[0], frame["features_3d"].shape[1]
        masks = unpack(frame["masks"])
        coverage = pool(masks, grid).flatten(1)
        points, point_valid = pool_points(frame["points"], frame["confidence"], grid)
        index_map = self._index_map(frame, key_points, key_rows, len(queries), grid)
        valid = frame["mask_valid"] & (coverage > 0).any(1)

        patches = self.core.tokens(frame["features_3d"], frame["features_2d"])
        attended = attended_patches(coverage, model.min_coverage)
        q = self.core.prototypes(patches, coverage)
        q = self.core.refine(q, patches, attended, valid, queries, index_map.any(0))
        q = torch.where(valid[:, None], q, 0.0)
        token = coverage @ frame["state_attention"].flatten(1).float().T
        box = mask_boxes(masks, frame["points"], frame["confidence"], online.box_sigma)

        group = components(cosine(q, q) >= online.merge_threshold, valid)
        leader = torch.arange(len(q), device=q.device)
        member = (group[None] == leader[:, None]) & valid[None]
        share = member.float() / member.sum(1, keepdim=True).clamp(min=1)
        q, token = share @ q, share @ token
        low = torch.where(member[..., None], box[None, :, 0], torch.inf).amin(1)
        high = torch.where(member[..., None], box[None, :, 1], -torch.inf).amax(1)
        box = torch.stack([low, high], 1)
        united = (member.float() @ masks.flatten(1).float()) > 0
        united = pool(united.reshape(masks.shape), grid).flatten(1)
        score = cosine(q, queries) + cosine(token, tokens) + box_iou(box, boxes, online.box_margin)
        attended = attended_patches(united, model.min_coverage) & point_valid
        return Seen(group, member.any(1), valid, q, token, box, attended, points, score)

    def _index_map(
        self, frame: dict[str, Tensor], points: Tensor, rows: Tensor, n: int, grid: tuple[int, int]
    ) -> Tensor:
        """Eq. 8: ``[p n]`` bool."""
        patches = grid[0] * grid[1]
        pose, K = frame["T_world_from_cam"], frame["intrinsics"]
        patch = patch_of(points, pose, K, self.image_size, grid)
        entry = torch.where(rows >= 0, patch * n + rows, patches * n).clamp(max=patches * n)
        found = torch.zeros(patches * n + 1, dtype=torch.bool, device=points.device)
        return found.index_fill(0, entry, True)[:-1].reshape(patches, n)

    def _assign(self, seen: Seen) -> Tensor:
        """Rows of the groups ``[q]``: matched, new, or -1 where there is no group."""
        score, valid = seen.score[:, : self.bank.count].cpu(), seen.valid.cpu()
        online = self.config.online
        feasible = (score >= online.match_threshold) & valid[:, None]
        # An infeasible pair stands for none.
        alone = {"score": 1e-9, "count": 1e4}[online.assignment]
        gain = score - online.match_threshold
        pairs = linear_sum_assignment(torch.where(feasible, -gain, alone).numpy())
        mask, row = (torch.from_numpy(x) for x in pairs)
        matched = torch.full(valid.shape, -1)
        matched[mask] = torch.where(feasible[mask, row], row, -1)
        new = valid & (matched < 0)
        fresh = self.bank.count + new.cumsum(0) - 1
        self.bank.count += int(new.sum())
        return torch.where(valid, torch.where(new, fresh, matched), -1)

    def _add_keys(self, points: Tensor, attended: Tensor, rows: Tensor) -> None:
        """One key per (voxel, row): codes not seen before, each at its first pair."""
        mask, patch = (attended & (rows >= 0)[:, None]).nonzero(as_tuple=True)
        cell = (points[patch] / self.config.memory.voxel).floor().long() + (1 << (BITS - 1))
        code = ((rows[mask] << BITS | cell[:, 0]) << BITS | cell[:, 1]) << BITS | cell[:, 2]
        unique, inverse = code.unique(return_inverse=True)
        order = torch.arange(len(code), device=code.device)
        first = torch.full(unique.shape, len(code), device=code.device)
        first = first.scatter_reduce(0, inverse, order, "amin")
        keys = self.keys
        if keys.count:
            at = torch.searchsorted(keys.codes, unique).clamp(max=keys.count - 1)
            first, unique = (x[keys.codes[at] != unique] for x in (first, unique))
        first = first.sort().values
        new = slice(keys.count, keys.count + len(first))
        keys.points[new], keys.rows[new] = points[patch[first]], rows[mask[first]]
        keys.codes = torch.cat([keys.codes, unique]).sort().values


def update_bank(
    queries: Tensor,
    tokens: Tensor,
    boxes: Tensor,
    observations: Tensor,
    rows: Tensor,
    new_queries: Tensor,
    new_tokens: Tensor,
    new_boxes: Tensor,
) -> None:
    """Running means and unions, in place."""
    weight = 1 / (observations[rows] + 1)[:, None]
    queries[rows] += weight * (new_queries - queries[rows])
    tokens[rows] += weight * (new_tokens - tokens[rows])
    low = torch.minimum(boxes[rows, 0], new_boxes[:, 0])
    boxes[rows] = torch.stack([low, torch.maximum(boxes[rows, 1], new_boxes[:, 1])], 1)
    observations[rows] += 1


def mask_boxes(masks: Tensor, points: Tensor, confidence: Tensor, sigma: float) -> Tensor:
    """Boxes of the cells under each mask, clipped to mean ± sigma deviations: ``[q 2 3]``."""
    trusted = points.isfinite().all(-1) & (confidence > 0)
    cloud = torch.where(trusted[..., None], points, 0.0).flatten(0, 1)
    coverage = pool(masks, (confidence.shape[0], confidence.shape[1]))
    over = coverage > 0.5
    member = torch.where(over.any((1, 2), keepdim=True), over, coverage > 0) & trusted
    member = member.flatten(1)
    low = torch.where(member[..., None], cloud[None], torch.inf).amin(1)
    high = torch.where(member[..., None], cloud[None], -torch.inf).amax(1)
    weight = member.float() / member.sum(1, keepdim=True).clamp(min=1)
    local = cloud - cloud.mean(0)
    mean, square = (weight @ torch.cat([local, local**2], 1)).split(3, 1)
    spread = sigma * (square - mean**2).clamp(min=0).sqrt()
    mean = mean + cloud.mean(0)
    some = member.any(1, keepdim=True)
    low = torch.where(some, torch.maximum(low, mean - spread), low)
    high = torch.where(some, torch.minimum(high, mean + spread), high)
    return torch.stack([low, high], 1)


def components(alike: Tensor, valid: Tensor) -> Tensor:
    """The least member of each mask's component: ``[q]``."""
    q = len(alike)
    alike = alike & valid[:, None] & valid[None]
    reach = (alike | torch.eye(q, dtype=torch.bool, device=alike.device)).float()
    for _ in range((q - 1).bit_length()):
        reach = ((reach @ reach) > 0).float()
    return reach.argmax(1)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """``[m d]``, ``[n d]`` -> ``[m n]``."""
    return functional.normalize(a, dim=1, eps=1e-30) @ functional.normalize(b, dim=1, eps=1e-30).T


def box_iou(a: Tensor, b: Tensor, margin: float) -> Tensor:
    """``[m 2 3]``, ``[n 2 3]`` -> ``[m n]``."""
    (low_a, high_a), (low_b, high_b) = ((x[:, 0] - margin, x[:, 1] + margin) for x in (a, b))
    low, high = torch.maximum(low_a[:, None], low_b[None]), torch.minimum(high_a[:, None], high_b)
    overlap = (high - low).clamp(min=0).prod(-1)
    volume_a, volume_b = (
        (h - x).clamp(min=0).prod(-1) for x, h in ((low_a, high_a), (low_b, high_b))
    )
    union = volume_a[:, None] + volume_b[None] - overlap
    return torch.where(overlap > 0, overlap / union.clamp(min=1e-30), 0.0)


def paint(planes: Tensor, rows: Tensor, scores: Tensor) -> Tensor:
    """Better scores on top, then smaller masks, then the first: ``[Hm Wm]``, row + 1."""
    masks = unpack(planes)
    q = len(rows)
    area = masks.sum((1, 2))
    order = torch.arange(q - 1, -1, -1, device=rows.device)
    order = order[area[order].sort(descending=True, stable=True).indices]
    order = order[scores[order].sort(stable=True).indices]
    layer = torch.zeros(q, dtype=torch.int32, device=rows.device)
    layer[order] = torch.arange(1, q + 1, dtype=torch.int32, device=rows.device)
    layer = torch.where(rows >= 0, layer, 0)
    top = torch.where(masks, layer[:, None, None], 0).amax(0)
    return torch.cat([rows.new_full((1,), -1), rows[order]])[top.long()] + 1


def fill(twin: OnlineTwin, state: Any) -> None:
    """Gives the twin the contents of our own `OnlineState`."""
    device = twin.bank.queries.device
    for name in ("queries", "tokens", "boxes", "observations"):
        ours = torch.from_numpy(_host(getattr(state.bank, name))).float().to(device)
        getattr(twin.bank, name)[: len(ours)] = ours
    twin.bank.count, count = int(state.num_rows), int(state.keys.count)
    points = torch.from_numpy(_host(state.keys.points)[:count]).to(device)
    rows = torch.from_numpy(_host(state.keys.rows)[:count]).long().to(device)
    twin.keys.points[:count], twin.keys.rows[:count] = points, rows
    cell = (points / twin.config.memory.voxel).floor().long() + (1 << (BITS - 1))
    code = ((rows << BITS | cell[:, 0]) << BITS | cell[:, 1]) << BITS | cell[:, 2]
    twin.keys.codes = code.sort().values


def _host(x: Any) -> np.ndarray:
    return np.array(x)
