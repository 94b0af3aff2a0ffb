"""Lets public code that wants CUDA, detectors and viewers be imported where none of them is.

Packages that are not there become empty modules; the few functions of them that the fusion calls
are written here in plain PyTorch and SciPy. Open3D, scikit-learn and NetworkX are used as they are.
"""

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree

EMPTY = (
    "cv2", "pointops", "segment_anything", "pytorch3d", "pytorch3d.ops", "git", "pandas",
    "pycocotools", "pycocotools.mask", "torchmetrics", "torchmetrics.functional", "numba",
    "detectron2", "detectron2.structures", "detectron2.utils", "detectron2.utils.visualizer",
    "visualize_predictions", "third_party", "third_party.FCGF", "third_party.FCGF.model",
    "third_party.FCGF.model.resunet", "third_party.FCGF.util", "third_party.FCGF.util.misc",
    "third_party.FCGF.util.visualization",
)  # fmt: skip


class _AnyName(type):
    """A class of which every attribute exists and is another such class."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyName(name, (), {})


class _Anything(types.ModuleType):
    """A module of which every name exists and is an empty class."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__path__: list[str] = []  # Modules below it are looked for.

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyName(name, (), {})


@contextmanager
def public_code(folder: Path) -> Iterator[Callable[[str], Any]]:
    """Importing from a folder of public code; everything imported is forgotten afterwards."""
    before, path = dict(sys.modules), list(sys.path)
    cuda = torch.Tensor.cuda
    for name in EMPTY:
        sys.modules[name] = _Anything(name)
    for owner, name, value in (
        (sys.modules["pointops"], "knn_query", knn_query),
        (sys.modules["pytorch3d.ops"], "ball_query", ball_query),
        (sys.modules["numba"], "njit", lambda function: function),
        (sys.modules["torchmetrics.functional"], "pairwise_cosine_similarity", cosine),
        (torch.Tensor, "cuda", lambda tensor, *args, **kwargs: tensor),
        (np, "bool8", np.bool_),  # A name that NumPy 2 dropped.
    ):
        setattr(owner, name, value)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module
    finally:
        torch.Tensor.cuda = cuda
        delattr(np, "bool8")
        sys.path[:] = path
        for name in set(sys.modules) - set(before):
            file = str(getattr(sys.modules[name], "__file__", "") or "")
            if file.startswith(str(folder)) or name in EMPTY or _is_namespace(name, folder):
                del sys.modules[name]


def knn_query(k: int, points: Any, offset: Any, queries: Any, new_offset: Any) -> tuple:
    """The nearest point of each query, as pointops has it."""
    distance, index = KDTree(points.numpy()).query(queries.numpy())
    return torch.from_numpy(index)[:, None], torch.from_numpy(distance)[:, None]


def ball_query(p1, p2, lengths1, lengths2, K, radius, return_nn=False):
    """The first K points of p2 strictly within the radius, by index; -1 fills up (pytorch3d)."""
    index = torch.full((*p1.shape[:2], K), -1, dtype=torch.int64)
    for b in range(len(p1)):
        if not lengths2[b]:
            continue
        tree = KDTree(p2[b, : lengths2[b]].double().numpy())
        queries = p1[b, : lengths1[b]].double().numpy()
        for i, near in enumerate(tree.query_ball_point(queries, np.nextafter(radius, 0))):
            found = torch.tensor(sorted(near)[:K], dtype=torch.int64)
            index[b, i, : len(found)] = found
    return None, index, None


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cosine of every pair of rows, as torchmetrics has it."""
    a, b = a.float(), b.float()
    return (a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T


def _is_namespace(name: str, folder: Path) -> bool:
    top = name.split(".")[0]
    return (folder / top).is_dir() or (folder / f"{top}.py").is_file()
