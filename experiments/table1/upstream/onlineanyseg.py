"""OnlineAnySeg: voxels of masks, then every round of merging."""

import functools
import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from comparators.clouds import grid_nodes_within, voxel_keys
from comparators.onlineanyseg import OnlineAnySeg, OnlineAnySegConfig
from comparators.onlineanyseg.voxels import mask_voxels
from comparators.views import View
from experiments.table1.upstream.stand_ins import public_code
from tests.comparators.scene import TiledRoom

CONFIG = OnlineAnySegConfig(min_share=40 / (48 * 64), min_voxels=50)
EVERY = 10  # Their frames between two segmented ones.


def ours(room: TiledRoom) -> dict[str, Any]:
    """Voxel keys of every mask, and voxel keys and weight of every merged mask after each round."""
    fusion, masks, rounds = OnlineAnySeg(CONFIG), [], []
    for view in room.views():
        masks += mask_voxels(view, CONFIG)[1]
        fusion.add(view)
        if view.index and view.index % CONFIG.merge_every == 0:
            names = fusion.graph.table.keys()
            rounds.append(
                sorted((m.weight, *sorted(names[m.voxels].tolist())) for m in fusion.graph.masks)
            )
    return {"masks": masks, "rounds": rounds, "contain": np.sort(fusion.graph.contain.ravel())}


def theirs(room: TiledRoom, folder: Path) -> dict[str, Any]:
    """The same by the public code; its merging gets our masks, so that each stage stands alone.

    Stood in for: Open3D's block grid (by sets of voxels), and the trained point features (by
    ours, given with each mask).
    """
    views = list(room.views())
    with public_code(folder / "OnlineAnySeg") as load, torch.no_grad():
        settings = folder / "OnlineAnySeg" / "config" / "scannet_cropformer.yaml"
        config = importlib.import_module("yaml").safe_load(settings.read_text())
        config["mask"]["feature_dim"] = views[0].semantics.shape[1]
        config["pc_extractor"]["feature_dim"] = views[0].geometry.shape[1]
        config["mask"]["few_pixel_threshold"] = int(CONFIG.min_share * views[0].labels.size)
        config["save"]["save_interval"] = 0
        masks = [m for v in views for m in _their_voxels(load("voxelized_points"), v, config)]
        scene, rounds = _Scene(load, config, len(views)), []
        for view in views:
            scene.insert(view)
            if view.index and view.index % CONFIG.merge_every == 0:
                scene.rep.update_masks(EVERY * view.index)
                rounds.append(scene.merged())
        contain = np.sort(scene.rep.get_containing_mat.numpy().ravel())
    return {"masks": masks, "rounds": rounds, "contain": contain}


def compare(mine: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Overlap of the masks' voxels one by one, and of the merged masks after each round."""
    ious = [
        len(np.intersect1d(a, b)) / len(np.union1d(a, b))
        for a, b in zip(mine["masks"], other["masks"], strict=True)
    ]
    gap = np.inf
    if len(mine["contain"]) == len(other["contain"]):
        gap = np.abs(mine["contain"] - other["contain"]).max(initial=0)
    return {
        "masks": len(ious),
        "least IoU of a mask's voxels": round(float(min(ious)), 4),
        "rounds": len(other["rounds"]),
        "merged masks": [len(r) for r in other["rounds"]],
        "largest difference of containing ratios": float(gap),
        "identical": mine["rounds"] == other["rounds"],
    }


class _Scene:
    """Their scene representation around stand-ins for what runs on CUDA only."""

    def __init__(self, load: Any, config: dict[str, Any], num_frames: int):
        module = load("Scene_rep")
        load("MaskGraph").generate_distinct_colors = lambda count: [None] * count
        self._grid = _Grid(load("voxel_hashing").VoxelHashTable)
        module.VoxelBlockGrid = lambda *args: self._grid
        module.PointFeatureExtractor = lambda *args: self._grid
        module.o3c = SimpleNamespace(
            Device=lambda name: None,
            Tensor=SimpleNamespace(from_numpy=lambda array: None),
            cuda=SimpleNamespace(synchronize=lambda: None),
        )
        module.Scene_rep.get_pc_xyz = property(lambda rep: None)
        for name in ("Vis_color", "Vis_pointcloud"):
            setattr(module, name, lambda *args: None)
        module.create_lower_triangular_matrix = functools.partial(
            module.create_lower_triangular_matrix, device="cpu"
        )
        dataset = _Dataset(EVERY * num_frames)
        args = SimpleNamespace(output_dir="/tmp", seq_name="")
        self.rep = module.Scene_rep(config, args, dataset, "cpu")

    def insert(self, view: View) -> None:
        self._grid.take(view)
        self.rep.insert_seg_frame(EVERY * view.index, None, None, None, _Handed(), None, None)

    def merged(self) -> list[tuple]:
        names = np.array([*self._grid.ids])
        weights = self.rep.merged_mask_weight
        return sorted(
            (int(weights[i]), *sorted(names[mask.mask_voxel_indices.numpy()].tolist()))
            for i, mask in self.rep.maskGraph.instance_dict.items()
        )


class _Grid:
    """Block grid, hash table and feature extractor in one: voxels are their own coordinates."""

    def __init__(self, table: type):
        self.ids: dict[int, int] = {}
        self.voxel_block_grids = self
        self.voxel_hash_table = object.__new__(table)
        self.voxel_hash_table.device = "cpu"
        self.voxel_hash_table.max_voxel_num = 200_000
        self.voxel_hash_table.hash_table = [None] * 200_000
        self.voxel_hash_table.voxel_coords2voxel_indices = lambda c, **_: c[:, 0].to(torch.int64)

    def take(self, view: View) -> None:
        kept, keys = mask_voxels(view, CONFIG)
        self._masks = {}
        self._features = []
        for mask, own in zip(kept, keys, strict=True):
            ids = [self.ids.setdefault(k, len(self.ids)) for k in own.tolist()]
            coords = torch.tensor(ids, dtype=torch.float64)[:, None].repeat(1, 3)
            self._masks[mask + 1] = coords
            self._features.append((set(ids), torch.from_numpy(view.geometry[mask])))
        self._semantic = [torch.from_numpy(view.semantics[mask]) for mask in kept]

    def turn_mask_to_voxel(self, *args: Any) -> tuple:
        return self._masks, list(self._masks), None, self._semantic

    def get_masks_geometric_features(self, masks: list, scene_points: Any, **_: Any) -> tuple:
        found = [
            next(f for ids, f in self._features if set(m[:, 0].long().tolist()) <= ids)
            for m in masks
        ]
        return True, found, None, None

    def hashmap(self) -> "_Grid":
        return self

    def find(self, blocks: Any) -> tuple:
        return _Handed(), None

    def voxel_coordinates_and_flattened_indices(self, blocks: Any) -> tuple:
        return _Handed(), _Handed()


class _Handed:
    """A tensor on its way from Open3D, which nobody looks into."""

    def to_dlpack(self) -> Any:
        return torch.zeros(1).__dlpack__()


class _Dataset:
    target_h, target_w, pinhole_cam_intrinsic, cam_intrinsic = 0, 0, None, torch.eye(3)

    def __init__(self, frames: int):
        self._frames = frames

    def __len__(self) -> int:
        return self._frames


def _their_voxels(module: Any, view: View, config: dict[str, Any]) -> list[np.ndarray]:
    """Voxel keys of a frame's masks by their own back-projection, from our points."""
    grid = object.__new__(module.VoxelBlockGrid)
    grid.device, grid.voxel_size, grid.depth_far = "cpu", config["scene"]["voxel_size"], 5.0
    for name in ("few_pixel_threshold", "few_voxel_threshold", "coverage_threshold",
                 "query_radius", "denoise_rm_ratio"):  # fmt: skip
        setattr(grid, name, config["mask"][name])
    grid.intrinsics = None
    seen = torch.from_numpy(view.seen)
    module.get_pointcloud_xyz = lambda *args, **_: torch.from_numpy(view.points[view.seen])
    points = np.unique(np.round(view.points[view.seen] / grid.voxel_size), axis=0)
    nodes = grid_nodes_within(points * grid.voxel_size, grid.voxel_size, 3 * grid.voxel_size)
    coords = torch.from_numpy(nodes * grid.voxel_size).float()
    info, kept, _, _ = grid.turn_mask_to_voxel(
        0, seen.double(), torch.eye(4), coords, torch.from_numpy(view.labels)
    )
    return [
        np.sort(voxel_keys(np.round(info[i].numpy() / grid.voxel_size).astype(int))) for i in kept
    ]


def decisions(result: dict[str, Any]) -> list[tuple]:
    """Weight and voxels of the merged masks after every round."""
    return [mask for merged in result["rounds"] for mask in merged]
