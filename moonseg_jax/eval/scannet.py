"""Ground truth of ScanNet: from its own annotation files, or from the field's text files.

Both give the class (an id of ScanNet's label table; 0 where unannotated or not of the 200) and an
instance number per vertex of ``<scene>_vh_clean_2.ply``, in the same order and with the same
numbers: the text file is what MaskClustering and OnlineAnySeg write of the annotation.

Source: github.com/ScanNet/ScanNet (README, "Data Formats"); PKU-EPIC/MaskClustering,
``prepare_gt.py``.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from moonseg_jax.eval import scannet200
from moonseg_jax.eval.mesh import positions, read_vertices
from moonseg_jax.structs import InputError

SEGMENTS = "_vh_clean_2.0.010000.segs.json"
LABEL_TABLE = "scannetv2-labels.combined.tsv"


def mesh_of(text: Path, elsewhere: Path | None = None) -> Path | None:
    """The mesh that a text file labels, where it lies beside it, or in a folder elsewhere."""
    names = (f"{text.stem}_vh_clean_2.ply", f"{text.stem}.ply")
    folders = (text.parent, elsewhere or text.parent)
    places = (folder / name for folder in folders for name in names)
    return next((place for place in places if place.is_file()), None)


def read_text(
    file: Path, mesh_folder: Path | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Reads label·1000 + instance + 1 per vertex.

    Returns:
        ``label [v]``, ``instance [v]``, and ``points [v 3]`` where the mesh lies beside it or in
        `mesh_folder`.
    """
    try:
        # Some exporters write whole numbers as floats.
        ids = np.array(file.read_text().split(), np.float64).astype(np.int64)
    except ValueError as error:
        raise InputError(
            f"{file} is not ScanNet ground truth: expected one integer a line"
        ) from error
    mesh = mesh_of(file, mesh_folder)
    return ids // 1000, ids % 1000, None if mesh is None else _points(mesh, file, len(ids))


def read_segments(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Reads ScanNet's annotation of the low-resolution mesh.

    ``segs.json`` gives a segment to every vertex, ``aggregation.json`` the segments and the class
    name of every object. A vertex of several objects is the last one's.

    Args:
        file: ``<scene>_vh_clean_2.0.010000.segs.json``.

    Returns:
        ``label [v]``, ``instance [v]``, and ``points [v 3]`` where the mesh lies beside it.
    """
    scene = file.name.removesuffix(SEGMENTS)
    # <scene>_vh_clean.aggregation.json is of the other, high-resolution mesh and its segments.
    objects = file.with_name(f"{scene}.aggregation.json")
    ids = _read_label_table(file.parent)
    segment = np.asarray(_read_json(file, "segIndices"))
    label, instance = np.zeros(len(segment), np.int64), np.zeros(len(segment), np.int64)
    for group in _read_json(objects, "segGroups"):
        inside = np.isin(segment, group["segments"])
        label[inside] = ids.get(group["label"], 0)
        instance[inside] = group["id"] + 1
    mesh = file.with_name(f"{scene}_vh_clean_2.ply")
    points = _points(mesh, file, len(segment)) if mesh.is_file() else None
    # The text files hold instance + 1, 1 where unannotated.
    return label, instance + 1, points


def _points(mesh: Path, labels: Path, count: int) -> np.ndarray:
    points = positions(read_vertices(mesh))
    if len(points) != count:
        raise InputError(
            f"{labels} labels {count} vertices and {mesh} has {len(points)}: not one scene"
        )
    return points


def _read_json(file: Path, key: str) -> Any:
    try:
        return json.loads(file.read_text())[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} cannot be read as ScanNet's annotation ({type(error).__name__}: {error}):"
            " download it again"
        ) from error


def _read_label_table(folder: Path) -> dict[str, int]:
    """Ids of the 200 classes by the names that annotators used."""
    folder = folder.resolve()
    above = (place / LABEL_TABLE for place in (folder, *folder.parents))
    table = next((file for file in above if file.is_file()), None)
    if table is None:
        raise InputError(
            f"{folder} needs {LABEL_TABLE} for the classes of its objects: put it there or in a"
            " folder above (ScanNet's download script gets it with --label_map)"
        )
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    if not rows or not {"id", "raw_category"} <= rows[0].keys():
        raise InputError(f"{table} has no columns id and raw_category: download it again")
    ids = {row["raw_category"]: int(row["id"]) for row in reversed(rows)}
    return {name: number for name, number in ids.items() if number in scannet200.CLASS_IDS}
