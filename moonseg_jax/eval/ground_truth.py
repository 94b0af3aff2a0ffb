"""Ground truth in the formats people have, and the three meanings the field gives it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moonseg_jax.eval import scannet, scannet200, scenenn
from moonseg_jax.eval.npz import read_npz
from moonseg_jax.structs import InputError

GT_MODES = ("onlineanyseg", "maskclustering", "things")
# What is void in each mode, in words; small instances are treated alike.
VOID = {
    "onlineanyseg": "unannotated vertices and classes other than ScanNet200's",
    "maskclustering": "nothing: what is unannotated counts as one more instance",
    "things": "unannotated vertices, classes other than ScanNet200's, walls and floors",
}


@dataclass(frozen=True)
class GroundTruth:
    """The labelled vertices of one scene.

    Attributes:
        path: the file it was read from.
        scene: name.
        mode: which instances count, one of `GT_MODES`.
        instance: ``[v]`` int64, 0 = void; instances in the evaluators' order of ids.
        points: ``[v 3]`` float32, metres, world frame; None where the file has none.
    """

    path: Path
    scene: str
    mode: str
    instance: np.ndarray
    points: np.ndarray | None

    def require_points(self) -> np.ndarray:
        """The vertices' positions, or an `InputError` that says where to put them."""
        if self.points is None:
            raise InputError(
                f"{self.path} has labels but no points: put {self.scene}_vh_clean_2.ply (ScanNet)"
                f" or {self.scene}.ply beside it, or into its recording's folder and name that"
                " with --recording"
            )
        return self.points


def load_ground_truth(
    path: str | Path, mode: str = "onlineanyseg", mesh_folder: Path | None = None
) -> GroundTruth:
    """Reads ground truth.

    Args:
        path: a file, or the folder of one scene that holds it (the first of these that is there):

            - ``.npz`` (in a folder: ``gt.npz``) with ``points [v 3]``, ``instance [v]`` (-1 or 0:
              unlabelled) and optionally ``label [v]`` (ScanNet's class ids);
            - ScanNet's own ``<scene>_vh_clean_2.0.010000.segs.json``, with
              ``<scene>.aggregation.json`` and ``<scene>_vh_clean_2.ply`` beside it, and
              ``scannetv2-labels.combined.tsv`` there or in a folder above;
            - SceneNN's own ``<scene>.xml``, with ``<scene>.ply`` beside it;
            - ``.txt`` with label·1000 + instance + 1 per vertex, ScanNet's class ids; the points in
              ``<scene>_vh_clean_2.ply`` or ``<scene>.ply`` beside it or in `mesh_folder`.
        mode: one of `GT_MODES`, as `counted_instances` defines them.
        mesh_folder: where else to look for the mesh of a ``.txt``.

    Raises:
        InputError: no such file, or not what is described here.
    """
    path = Path(path)
    file = find_truth(path) if path.is_dir() else path
    if file is None or not file.is_file():
        raise InputError(
            f"no ground truth at {path}: expected a gt.npz, ScanNet's segs.json and"
            " aggregation.json, SceneNN's ply and xml, or a txt with an integer per vertex"
        )
    scene, (label, instance, points) = _read(file, mesh_folder)
    return GroundTruth(file, scene, mode, counted_instances(label, instance, mode), points)


def find_truth(folder: Path) -> Path | None:
    """The file that `load_ground_truth` reads in a folder; None where there is none."""
    npz = folder / "gt.npz"
    if npz.is_file():
        return npz
    segments = sorted(folder.glob(f"*{scannet.SEGMENTS}"))
    annotations = [file for file in sorted(folder.glob("*.xml")) if scenenn.mesh_of(file).is_file()]
    # A ScanNet scene's own folder also has a <scene>.txt, which describes the recording.
    texts = [file for file in sorted(folder.glob("*.txt")) if scannet.mesh_of(file) is not None]
    return next(iter([*segments, *annotations, *texts]), None)


def _read(
    file: Path, mesh_folder: Path | None
) -> tuple[str, tuple[np.ndarray | None, np.ndarray, np.ndarray | None]]:
    if file.suffix == ".npz":
        return file.parent.resolve().name if file.stem == "gt" else file.stem, _read_npz(file)
    if file.name.endswith(scannet.SEGMENTS):
        return file.name.removesuffix(scannet.SEGMENTS), scannet.read_segments(file)
    if file.suffix == ".xml":
        return file.stem, scenenn.read_annotation(file)
    return file.stem, scannet.read_text(file, mesh_folder)


def counted_instances(label: np.ndarray | None, instance: np.ndarray, mode: str) -> np.ndarray:
    """Which instance each vertex counts for; 0 = void, where predictions are not punished.

    - ``onlineanyseg``: instances of the 200 classes, wall and floor among them; the rest is void.
    - ``maskclustering``: every instance of any class, and everything unannotated together as one
      more giant instance; nothing is void.
    - ``things``: as ``onlineanyseg``, with wall and floor void.

    Args:
        label: ``[v]`` ScanNet class ids; None where unknown: then every instance counts.
        instance: ``[v]``, negative where unannotated.
        mode: one of `GT_MODES`.

    Returns:
        ``[v]`` int64.
    """
    if mode == "maskclustering":
        return np.maximum(instance, 0) + 1
    counts = instance >= 0
    if label is not None:
        excluded = (scannet200.WALL, scannet200.FLOOR) if mode == "things" else ()
        counts &= np.isin(label, scannet200.CLASS_IDS) & ~np.isin(label, excluded)
    return np.where(counts, instance + 1, 0)


def _read_npz(file: Path) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    data = read_npz(
        file,
        ("points", "instance"),
        "ground truth is an npz with points [N 3], instance [N] and optionally label [N]",
        optional=("label",),
    )
    points, instance, label = data["points"], data["instance"], data.get("label")
    if instance.ndim != 1 or points.shape != (len(instance), 3) or len(instance) == 0:
        raise InputError(
            f"{file} has points {points.shape} and instance {instance.shape}: "
            "expected [N 3] and [N] of the same N, not 0"
        )
    for name, ids in (("instance", instance), ("label", instance if label is None else label)):
        if ids.shape != instance.shape or not np.issubdtype(ids.dtype, np.integer):
            raise InputError(
                f"{file}: {name} is {ids.dtype} {list(ids.shape)}: expected an integer a point"
            )
    instance = instance.astype(np.int64)
    return label, np.where(instance > 0, instance, -1), points.astype(np.float32)
