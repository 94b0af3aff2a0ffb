"""ScanNet and SceneNN in little, two scenes each, with label maps named as their frames are."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.eval.layouts import (
    as_scannet,
    as_scenenn,
    as_sens,
    files,
    write_scannet_text,
    write_scannet_truth,
)

SCANNET = ("scene0011_00", "scene0011_01")
SCENENN = ("005", "011")
LABEL_TABLE = "id\traw_category\tcategory\n2\tchair\tchair\n4\ttable\ttable\n1\twall\twall\n"


def shorter_room(room: Path, out: Path, frames: int) -> Path:
    """The same room, of which only the first frames were recorded."""
    for kind in ("color", "depth", "pose", "masks"):
        (out / kind).mkdir(parents=True)
        for file in files(room, kind)[:frames]:
            shutil.copy(file, out / kind)
    for name in ("intrinsics.txt", "gt.npz"):
        shutil.copy(room / name, out)
    return out


def write_scannet(root: Path, rooms: Sequence[Path]) -> Path:
    """``scans/`` with a .sens file and an export, and ``gt/`` of the evaluators."""
    for folder in ("scans", "gt"):
        (root / folder).mkdir()
    (root / "scans" / "scannetv2-labels.combined.tsv").write_text(LABEL_TABLE)
    for room, scene, write in zip(rooms, SCANNET, (as_sens, as_scannet), strict=True):
        names = write(room, root / "scans" / scene)
        write_scannet_truth(room, root / "scans" / scene)
        write_scannet_text(room, root / "gt" / f"{scene}.txt")
        _copy_masks(room, root / "masks" / scene, names)
    (root / "gt" / "scannetv2_val.txt").write_text("\n".join(SCANNET))
    return root / "scans"


def write_scenenn(root: Path, rooms: Sequence[Path]) -> Path:
    """``scenenn/`` and, as it has only two of the twelve, a list of them."""
    for room, scene in zip(rooms, SCENENN, strict=True):
        names = as_scenenn(room, root / "scenenn" / scene)
        _copy_masks(room, root / "masks" / scene, names)
    (root / "two.txt").write_text("005\n011  # of twelve\n")
    return root / "scenenn"


def _copy_masks(room: Path, out: Path, names: Sequence[str]) -> None:
    out.mkdir(parents=True)
    for file, name in zip(files(room, "masks"), names, strict=True):
        shutil.copy(file, out / f"{name}.png")
