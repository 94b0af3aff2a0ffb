"""The losses in plain PyTorch, and the clip's objective with the memory as a list of queries."""

import itertools

import numpy as np
import torch
from torch.nn import functional

from tests.reference import memory, models


def bce(logits, target):
    return functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))


def product(features, queries, kind):
    if kind == "cosine":
        unit = [functional.normalize(x, dim=-1) for x in (queries, features)]
        return 10.0 * (unit[0] @ unit[1].T - 0.5)
    return queries @ features.T


def seg_loss(reference, queries, target, valid, grid, logits="dot"):
    if not valid.any():
        return torch.zeros((), dtype=queries.dtype)
    coarse = product(reference, queries[valid], logits).reshape(1, -1, *grid)
    fine = functional.interpolate(
        coarse, size=target.shape[1:], mode="bilinear", align_corners=False
    )
    return bce(fine[0], target[valid])


def dist_loss(reference, features_3d, features_2d, reduction="mean"):
    G, G3d, G2d = (
        functional.normalize(x, dim=-1) @ functional.normalize(x, dim=-1).T
        for x in (reference, features_3d, features_2d)
    )
    total = ((G - G2d) ** 2).sum() + ((G - G3d) ** 2).sum()
    return total if reduction == "sum" else total / len(G) ** 2


def xseg_loss(context, in_context, queries, coverage, valid, logits="dot"):
    if not (valid.any() and in_context.any()):
        return torch.zeros((), dtype=queries.dtype)
    return bce(product(context[in_context], queries[valid], logits), coverage[valid][:, in_context])


def merge_loss(queries, goals, valid):
    """Pair by pair; a goal is the ``[p]`` share of each patch that a query should cover."""
    same, other = [], []
    for i, j in itertools.permutations(range(len(queries)), 2):
        if not (valid[i] and valid[j]):
            continue
        cosine = functional.cosine_similarity(queries[i], queries[j], dim=0, eps=1e-12)
        logit = 10 * (cosine - 0.5)
        areas = (goals[i] ** 2).sum(), (goals[j] ** 2).sum()
        if ((goals[i] - goals[j]) ** 2).sum() <= 0.01 * sum(areas):
            same.append(bce(logit, torch.ones_like(logit)))
        if (goals[i] * goals[j]).sum() < 0.1 * min(areas):
            other.append(bce(logit, torch.zeros_like(logit)))
    means = [torch.stack(x).mean() for x in (same, other) if x]
    return sum(means, torch.zeros((), dtype=queries.dtype)) / 2


def unpack(planes):
    """``[H W words]`` -> ``[q H W]`` bool, bit by bit."""
    return np.stack(
        [(planes[..., i // 32] >> (i % 32)) & 1 == 1 for i in range(planes.shape[-1] * 32)]
    )


def pool(x, size):
    """Mean over equal cells, one cell at a time: ``[q H W]`` -> ``[q h w]``."""
    a, b = x.shape[1] // size[0], x.shape[2] // size[1]
    cells = [
        [x[:, i * a : (i + 1) * a, j * b : (j + 1) * b].mean((1, 2)) for j in range(size[1])]
        for i in range(size[0])
    ]
    return np.moveaxis(np.array(cells), -1, 0)


def pool_points(points, confidence, grid):
    """Mean trusted point of each patch, ``[p 3]``, and whether there is one."""
    a, b = points.shape[0] // grid[0], points.shape[1] // grid[1]
    means, valid = [], []
    for i in range(grid[0]):
        for j in range(grid[1]):
            cell = np.s_[i * a : (i + 1) * a, j * b : (j + 1) * b]
            trusted = np.isfinite(points[cell]).all(-1) & (confidence[cell] > 0)
            valid.append(trusted.any())
            means.append(points[cell][trusted].mean(0) if trusted.any() else np.zeros(3))
    return np.array(means), np.array(valid)


def clip_memory(clip, coverage, config, image_size, grid):
    """The index map of every frame of a clip, ``[p t·q]``; and which of it is in doubt."""
    pooled = [pool_points(*frame, grid) for frame in zip(clip.points, clip.confidence, strict=True)]
    points, point_valid = (np.stack(x) for x in zip(*pooled, strict=True))
    member = [
        models.attended_patches(m, config.model.min_coverage).numpy() & valid[:, None]
        for m, valid in zip(coverage, clip.mask_valid, strict=True)
    ]
    poses, K = clip.T_world_from_cam, clip.intrinsics
    views = memory.clip_keys(
        points, point_valid, member, poses, K, image_size, grid, config.memory.occlusion
    )
    rows = len(coverage) * len(coverage[0])
    return [[memory.index_map(x, len(points[0]), rows) for x in view] for view in views]


def clip_loss(params, clip, config, image_size, dtype):
    """The objective of a clip and its three terms."""
    grid = clip.features_3d.shape[1:3]
    stride = config.loss.target_stride
    size = [min(n // stride, m) for n, m in zip(image_size, clip.masks.shape[1:3], strict=True)]
    masks = [unpack(x) for x in clip.masks]
    coverage = [torch.tensor(pool(x, grid).reshape(len(x), -1), dtype=dtype) for x in masks]
    maps = clip_memory(clip, coverage, config, image_size, grid)
    assert not any(doubtful.any() for _, doubtful in maps), "choose points off the cells' edges"

    model = config.model
    bank, frames = [], []
    width = params["eta.mlp.layers.0.bias"].shape[0]
    rows = len(masks) * len(masks[0])
    for t in range(len(masks)):
        f3, f2 = (torch.tensor(x[t]).to(dtype) for x in (clip.features_3d, clip.features_2d))
        F = models.tokens(model, f3, f2)
        padding = torch.zeros(rows - len(bank), width, dtype=dtype)
        context = torch.cat([*(x[None] for x in bank), padding])
        index = torch.tensor(maps[t][0])
        valid = torch.tensor(clip.mask_valid[t])
        first = models.prototypes(params, model, F, coverage[t])
        q = models.refine(params, model, first, F, coverage[t], valid, context, index.any(0), grid)
        bank += list(q.detach() if config.memory.gradient == "stop" else q)
        frames.append((F, f3, f2, q, valid, index))

    bank = torch.stack(bank)
    seg, dist, xseg, merge = [], [], [], []
    for t, (F, f3, f2, q, valid, index) in enumerate(frames):
        psi = models.reference(params, model, F)
        flat = [x.reshape(-1, x.shape[-1]) for x in (f3, f2)]
        dist.append(dist_loss(psi, *flat, config.loss.dist_reduction))
        if valid.any():
            target = torch.tensor(pool(masks[t], size))
            seg.append(seg_loss(psi, q, target, valid, grid, model.seg_logits))
            merge.append(merge_loss(q, coverage[t], valid))
        if valid.any() and index.any():
            context, present = memory.gather_context(index, bank)
            present = torch.tensor(present)
            xseg.append(xseg_loss(context, present, q, coverage[t], valid, model.xseg_logits))
    zero = torch.zeros((), dtype=dtype)
    terms = {
        name: torch.stack(x).mean() if x else zero
        for name, x in (("seg", seg), ("dist", dist), ("xseg", xseg), ("merge", merge))
    }
    return sum(config.loss[name] * value for name, value in terms.items()), terms
