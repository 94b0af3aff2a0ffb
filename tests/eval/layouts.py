"""A rendered room as recordings of every layout, and its ground truth as the data sets have it.

Each ``as_*`` writes a folder and returns the names that its frames then have.
"""

import json
import shutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from plyfile import PlyData, PlyElement

from tests.bridges.conftest import Sens
from tests.bridges.test_scenenn import trajectory


@dataclass
class RoomSens(Sens):
    """The room as a ``.sens`` file, or as ScanNet exports that."""

    K: np.ndarray = field(default_factory=lambda: np.eye(3))

    def intrinsics(self, size: tuple[int, int]) -> np.ndarray:
        out = np.eye(4)
        out[:3, :3] = self.K
        return out

    def millimetres(self, index: int) -> np.ndarray:
        raw = zlib.decompress(self.depths[index])
        return np.frombuffer(raw, "<u2").reshape(self.depth_size)


def files(room: Path, kind: str) -> list[Path]:
    return sorted((room / kind).iterdir())


def poses(room: Path) -> list[np.ndarray]:
    return [np.loadtxt(file) for file in files(room, "pose")]


def sens_of(room: Path) -> RoomSens:
    colors = dict(enumerate(file.read_bytes() for file in files(room, "color")))
    maps = [np.asarray(Image.open(file)).astype("<u2") for file in files(room, "depth")]
    return RoomSens(
        poses=poses(room), color_size=maps[0].shape, depth_size=maps[0].shape,
        K=np.loadtxt(room / "intrinsics.txt"), colors=colors,
        depths={i: zlib.compress(depth.tobytes()) for i, depth in enumerate(maps)},
    )  # fmt: skip


def as_sens(room: Path, out: Path) -> list[str]:
    out.mkdir()
    sens_of(room).write(out / f"{out.name}.sens")
    return [str(i) for i, _ in enumerate(poses(room))]


def as_scannet(room: Path, out: Path) -> list[str]:
    sens_of(room).export(out)
    return [str(i) for i, _ in enumerate(poses(room))]


def as_posed_rgbd(room: Path, out: Path) -> list[str]:
    out.mkdir()
    for kind in ("color", "depth", "pose"):
        shutil.copytree(room / kind, out / kind)
    shutil.copy(room / "intrinsics.txt", out)
    return [file.stem for file in files(room, "pose")]


def as_seven_scenes(room: Path, out: Path) -> list[str]:
    out.mkdir()
    for kind in ("color", "depth", "pose"):
        for file in files(room, kind):
            shutil.copy(file, out / f"frame-{file.stem}.{kind}{file.suffix}")
    shutil.copy(room / "intrinsics.txt", out / "camera-intrinsics.txt")
    return [f"frame-{file.stem}" for file in files(room, "pose")]


def as_scenenn(room: Path, out: Path) -> list[str]:
    """As ``playback`` extracts it, with its annotated mesh."""
    for folder, kind in (("image", "color"), ("depth", "depth")):
        (out / folder).mkdir(parents=True)
        for i, file in enumerate(files(room, kind), start=1):
            Image.open(file).save(out / folder / f"{folder}{i:05d}.png")
    (out / "trajectory.log").write_text(trajectory(dict(enumerate(poses(room), start=1))))
    shutil.copy(room / "intrinsics.txt", out)
    truth = np.load(room / "gt.npz")
    write_mesh(out / f"{out.name}.ply", truth["points"], truth["instance"])
    ids = np.unique(truth["instance"][truth["instance"] > 0])
    labels = "".join(f'<label id="{i}" text="x" nyu_class="prop" color="1 2 3" />' for i in ids)
    (out / f"{out.name}.xml").write_text(f"<annotation>{labels}</annotation>")
    return [f"image{i:05d}" for i, _ in enumerate(poses(room), start=1)]


def write_scannet_truth(room: Path, folder: Path) -> None:
    """Mesh, segments and objects of a scene, and what else ScanNet has beside them."""
    truth = np.load(room / "gt.npz")
    instance, prefix = truth["instance"], folder / folder.name
    write_mesh(Path(f"{prefix}_vh_clean_2.ply"), truth["points"])
    # Two segments an object, numbered with gaps, and one that nobody annotated.
    half = np.arange(len(instance)) % 2
    segments = np.where(instance > 0, 10 * instance + 3 * half, 7)
    record = {"params": {}, "sceneId": folder.name, "segIndices": segments.tolist()}
    Path(f"{prefix}_vh_clean_2.0.010000.segs.json").write_text(json.dumps(record))
    label = ("chair", "table")
    groups = [
        {"id": k, "objectId": k, "segments": [10 * k + 10, 10 * k + 13], "label": label[k % 2]}
        for k in range(instance.max())
    ]
    record = {"sceneId": f"scannet.{folder.name}", "segGroups": groups}
    Path(f"{prefix}.aggregation.json").write_text(json.dumps(record))
    Path(f"{prefix}.txt").write_text("axisAlignment = 1.0 0.0 0.0\ncolorHeight = 96\n")


def write_scannet_text(room: Path, file: Path) -> None:
    """The same objects as the field's evaluators want them."""
    instance = np.load(room / "gt.npz")["instance"].astype(int)
    classes = np.where(instance % 2 == 1, 2, 4)
    np.savetxt(file, np.where(instance > 0, classes * 1000 + instance + 1, 1), "%d")


def write_mesh(file: Path, points: np.ndarray, label: np.ndarray | None = None) -> None:
    """A PLY of vertices; SceneNN's have a label each."""
    extra = [] if label is None else [("label", "u2")]
    vertex = np.zeros(len(points), [(axis, "f4") for axis in "xyz"] + extra)
    for i, axis in enumerate("xyz"):
        vertex[axis] = points[:, i]
    if label is not None:
        vertex["label"] = np.maximum(label, 0)
    PlyData([PlyElement.describe(vertex, "vertex")]).write(str(file))
