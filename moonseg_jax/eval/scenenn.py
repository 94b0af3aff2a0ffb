"""Ground truth of SceneNN: a PLY with an annotation's id per vertex, an XML that explains the ids.

``<label id="8844" text="chair 1" nyu_class="chair" .../>``: ids are those of the property ``label``
of the vertices. An object counts where the XML gives it a class of NYU (walls and floors have one);
vertices without an entry, and objects whose class is empty or ``unknown``, are unannotated.

Source: github.com/hkust-vgd/scenenn (README, thread 9); xuxw98/ESAM, ``scannet_utils.py``.
"""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from moonseg_jax.eval import scannet200
from moonseg_jax.eval.mesh import positions, read_vertices
from moonseg_jax.structs import InputError

# Evaluation asks no more of a class than this; NYU's names are not ScanNet's.
_CLASS_IDS = {"wall": scannet200.WALL, "floor": scannet200.FLOOR, "": 0, "unknown": 0}


def mesh_of(annotation: Path) -> Path:
    """The mesh that an XML explains."""
    return annotation.with_suffix(".ply")


def read_annotation(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads the annotation of a scene.

    Args:
        file: ``<scene>.xml``, with ``<scene>.ply`` beside it.

    Returns:
        ``label [v]``: ScanNet's id for walls and for floors, `scannet200.OBJECT` for any other
        class, 0 where unannotated; ``instance [v]``: the annotation's id + 1, -1 where unannotated;
        ``points [v 3]``.
    """
    class_of = _read_classes(file)
    vertex = read_vertices(mesh_of(file))
    if "label" not in vertex.data.dtype.names:
        raise InputError(
            f"{mesh_of(file)} has no label per vertex: download the annotated mesh of SceneNN"
        )
    ids, index = np.unique(np.asarray(vertex["label"], np.int64), return_inverse=True)
    classes = np.array([class_of.get(int(i), 0) for i in ids], np.int64)
    label = classes[index]
    return label, np.where(label > 0, ids[index] + 1, -1), positions(vertex)


def _read_classes(file: Path) -> dict[int, int]:
    try:
        entries = list(ElementTree.parse(file).getroot().iter("label"))
        names = {int(entry.get("id", "")): entry.get("nyu_class") or "" for entry in entries}
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise InputError(
            f"{file} cannot be read as SceneNN's annotation ({error}): download it again"
        ) from error
    clean = {number: name.strip().lower() for number, name in names.items()}
    return {number: _CLASS_IDS.get(name, scannet200.OBJECT) for number, name in clean.items()}
