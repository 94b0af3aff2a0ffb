"""The objective of a batch of clips and one step of AdamW on it."""

from collections.abc import Callable
from typing import Any

import torch
from ml_collections import ConfigDict
from torch import Tensor
from torch.nn import functional

from experiments.speed.torch_baseline.core import Read, TorchCore, attended_patches
from experiments.speed.torch_baseline.frames import patch_of, pool, pool_points, unpack

Clips = dict[str, Tensor]


class TrainingTwin:
    """Loss, gradient and update; everything but the loop over frames is batched.

    Compiled are the parts that run once a frame or once a batch; their shapes never change.

    Raises:
        ValueError: a config with L_merge, of which the twin knows nothing.
    """

    def __init__(
        self,
        core: TorchCore,
        config: ConfigDict,
        image_size: tuple[int, int],
        *,
        compiled: bool = False,
        dtype: torch.dtype = torch.float32,
    ):
        if config.loss.merge:
            raise ValueError("the twin has no L_merge: compare with config.loss.merge = 0")
        self.core, self.config, self.image_size, self.dtype = core, config, image_size, dtype
        made: Callable = torch.compile if compiled else (lambda f: f)
        self._prepare, self._terms = made(self.prepare), made(self.terms)
        self._lift, self._look = made(self.lift), made(core.look)
        self._recall = made(self.recall)
        named = dict(core.named_parameters())
        kernels = [n for n, p in named.items() if p.ndim > 1]
        groups = [
            {"params": [named[n] for n in kernels], "weight_decay": config.optimizer.weight_decay},
            {"params": [p for n, p in named.items() if n not in kernels], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups,
            lr=config.optimizer.learning_rate,
            betas=(config.optimizer.b1, config.optimizer.b2),
            fused=next(core.parameters()).is_cuda,
        )

    def step(self, clips: Clips) -> Tensor:
        """One update; returns the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(clips)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def loss(self, clips: Clips) -> Tensor:
        """``L_seg``, ``L_dist`` and ``L_xseg`` weighted, the mean over the clips."""
        on_cuda = clips["points"].is_cuda
        with torch.autocast(
            "cuda" if on_cuda else "cpu", self.dtype, enabled=self.dtype != torch.float32
        ):
            with torch.no_grad():
                made = self._prepare(clips)
            coverage, attended, target, index_map = made
            tokens, prototypes, reference = self._lift(clips, coverage)
            queries = self._through_memory(clips, tokens, prototypes, attended, index_map)
            return self._terms(clips, queries, reference, target, coverage, index_map)

    def prepare(self, clips: Clips) -> tuple[Tensor, ...]:
        """Coverage ``[b t q p]``, attended patches, targets, index maps ``[b t p t·q]``."""
        grid = clips["features_3d"].shape[2], clips["features_3d"].shape[3]
        stride = self.config.loss.target_stride
        size = self.image_size[0] // stride, self.image_size[1] // stride
        # A frame at a time: the masks of a batch are gigabytes once they are numbers.
        frames = [unpack(planes) for planes in clips["masks"].unbind(1)]
        coverage = torch.stack([pool(masks, grid).flatten(-2) for masks in frames], 1)
        target = torch.stack([pool(masks, size) for masks in frames], 1)
        attended = attended_patches(coverage, self.config.model.min_coverage)
        points, valid = pool_points(clips["points"], clips["confidence"], grid)
        member = attended & clips["mask_valid"][..., None] & valid[:, :, None]
        return coverage, attended, target, self._index_maps(clips, points, member, grid)

    def _index_maps(
        self, clips: Clips, points: Tensor, member: Tensor, grid: tuple[int, int]
    ) -> Tensor:
        b, t, q, p = member.shape
        payload = member.transpose(-1, -2).to(torch.uint8)  # [b t p q]
        maps = []
        for index in range(t):
            pose, K = clips["T_world_from_cam"][:, index], clips["intrinsics"][:, index]
            patch = patch_of(points.flatten(1, 2), pose, K, self.image_size, grid)
            patch = patch.reshape(b, t, p, 1).expand(-1, -1, -1, q)
            marked = payload.new_zeros(b, t, p + 1, q)
            marked = marked.scatter_reduce(2, patch, payload, "amax")[:, :, :p]
            earlier = torch.arange(t, device=marked.device) < index
            marked = marked.bool() & earlier[None, :, None, None]
            maps.append(marked.transpose(1, 2).flatten(-2))
        return torch.stack(maps, 1)

    def lift(self, clips: Clips, coverage: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens ``[b t p c]``, prototypes ``[b t q d]``, reference features ``[b t p d]``."""
        tokens = self.core.tokens(clips["features_3d"], clips["features_2d"])
        return tokens, self.core.prototypes(tokens, coverage), self.core.reference(tokens)

    def _through_memory(
        self, clips: Clips, tokens: Tensor, prototypes: Tensor, attended: Tensor, index_map: Tensor
    ) -> Tensor:
        b, t, q, d = prototypes.shape
        visible = index_map.any(2)
        # Whatever needs no memory, all frames together; keys and values of a query are made once.
        first, patches = self._look(prototypes, tokens, attended)
        refined, empty = [], self.core.remember(prototypes.new_zeros(b, q, d))
        memory = [[read] * t for read in empty]
        for index in range(t):
            contexts = [
                tuple(torch.cat(each, -2) for each in zip(*reads, strict=True)) for reads in memory
            ]
            done, reads = self._recall(
                first[:, index],
                [(k[:, index], v[:, index]) for k, v in patches],
                attended[:, index],
                clips["mask_valid"][:, index],
                contexts,
                visible[:, index],
            )
            refined.append(done)
            for layer, read in zip(memory, reads, strict=True):
                layer[index] = read
        return torch.stack(refined, 1)

    def recall(self, *args: Any) -> tuple[Tensor, list[Read]]:
        """Refined queries of a frame, and what later frames read of them."""
        refined = self.core.recall(*args)
        return refined, self.core.remember(refined)

    def terms(
        self,
        clips: Clips,
        queries: Tensor,
        reference: Tensor,
        target: Tensor,
        coverage: Tensor,
        index_map: Tensor,
    ) -> Tensor:
        """The three losses of all frames, weighted."""
        weights, valid = self.config.loss, clips["mask_valid"]
        present = index_map.any(-1)  # [b t p]
        has_query = valid.any(-1)

        coarse = (queries @ reference.transpose(-1, -2)).unflatten(-1, target_grid(clips))
        fine = functional.interpolate(
            coarse.flatten(0, 1).float(), target.shape[-2:], mode="bilinear", align_corners=False
        )
        seg = masked_bce(fine.unflatten(0, valid.shape[:2]), target, valid[..., None, None])

        grams = (gram(x.float()) for x in (reference, clips["features_3d"], clips["features_2d"]))
        G, G3, G2 = grams
        dist = ((G - G3) ** 2 + (G - G2) ** 2).mean((1, 2, 3))

        weight = index_map.to(queries.dtype)
        context = weight @ queries.flatten(1, 2).unsqueeze(1)
        context = context / weight.sum(-1, keepdim=True).clamp(min=1)
        logits = 10 * (unit(queries) @ unit(context).transpose(-1, -2) - 0.5)
        xseg = masked_bce(logits, coverage, valid[..., None] & present[..., None, :])

        both = has_query & present.any(-1)
        seg, xseg = (
            (x * some).sum(1) / some.sum(1).clamp(min=1)
            for x, some in ((seg, has_query), (xseg, both))
        )
        return (weights.seg * seg + weights.dist * dist + weights.xseg * xseg).mean()


def target_grid(clips: Clips) -> tuple[int, int]:
    return clips["features_3d"].shape[2], clips["features_3d"].shape[3]


def masked_bce(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Mean of the cross-entropy over everything but the first two axes: ``[b t]``."""
    loss = functional.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    counted = counted.expand(loss.shape)
    return (loss * counted).flatten(2).sum(2) / counted.flatten(2).sum(2).clamp(min=1)


def gram(x: Tensor) -> Tensor:
    """Cosines of all pairs of patches: ``[b t (h w) c]`` -> ``[b t p p]``."""
    x = unit(x.flatten(2, -2))
    return x @ x.transpose(-1, -2)


def unit(x: Tensor) -> Tensor:
    return functional.normalize(x.float(), dim=-1, eps=1e-6)
