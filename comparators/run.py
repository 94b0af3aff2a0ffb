"""Runs a comparator over a cache, frame by frame, and notes what each frame costs."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from comparators.costs import Costs, Elapsed
from comparators.results import ComparedScene, LabelledCloud, label_scene
from comparators.views import View, make_view
from moonseg_jax.online.surface import SurfaceVotes
from moonseg_jax.structs import Frame, SceneInfo


class FrameReader(Protocol):
    """What a comparator needs of a `moonseg_jax.cache.CacheReader`."""

    @property
    def info(self) -> SceneInfo:
        """The scene."""
        ...

    def frames(self) -> Iterator[Frame]:
        """All frames, in order; may be called again."""
        ...


class Fusion(Protocol):
    """A comparator at work."""

    @property
    def nbytes(self) -> int:
        """What it keeps between frames."""
        ...

    def add(self, view: View) -> None:
        """Takes in a frame."""
        ...

    def finish(self) -> LabelledCloud:
        """Whatever is done after the last frame."""
        ...


def views_of(reader: FrameReader) -> Iterator[View]:
    """All frames of a cache as views."""
    for index, frame in enumerate(reader.frames()):
        yield make_view(index, frame, reader.info)


def run_fusion(reader: FrameReader, fusion: Fusion) -> ComparedScene:
    """Segments a cache.

    The costs are the method's own: not in them are reading the cache, bringing its frames into the
    form of a `View`, and looking the labels up at the end.
    """
    spent = []
    for view in views_of(reader):
        start = Elapsed.now()
        fusion.add(view)
        spent.append(Elapsed.now().since(start))
    kept, start = fusion.nbytes, Elapsed.now()
    cloud = fusion.finish()
    costs = Costs(spent, Elapsed.now().since(start), kept)
    return label_scene(cloud, views_of(reader), costs)


def run_with_cloud(
    reader: FrameReader, voxel: float, make: Callable[[np.ndarray, np.ndarray], Fusion]
) -> ComparedScene:
    """The same for methods that start from a finished reconstruction, which is not in the costs.

    Args:
        reader: of a cache.
        voxel: side of the reconstruction's voxels.
        make: from its points ``[v 3]`` float32 and colours ``[v 3]`` uint8.
    """
    surface = SurfaceVotes(voxel)
    for view in views_of(reader):
        add_surface(surface, view)
    points, colors, _ = surface.cloud(np.zeros(0, np.int32))
    return run_fusion(reader, make(points, colors))


def add_surface(surface: SurfaceVotes, view: View) -> None:
    """Adds a view's points, without votes."""
    points = view.points[view.seen]
    surface.add(points, view.colors[view.seen], np.full(len(points), -1))
