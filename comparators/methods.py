"""The comparators by name, from a cache to a predictions folder."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from comparators import maskclustering, onlineanyseg, ovir3d, sam3d
from comparators.results import ComparedScene
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import check_writable, write_predictions
from moonseg_jax.online import SegmentedScene


@dataclass(frozen=True)
class Method:
    """A comparator.

    Attributes:
        title: as in its paper.
        segment: takes a reader of a cache, and settings.
        published: the settings of its authors.
    """

    title: str
    segment: Callable[..., ComparedScene]
    published: Any


METHODS = {
    "sam3d": Method("SAM3D", sam3d.segment, sam3d.PUBLISHED),
    "ovir3d": Method("OVIR-3D", ovir3d.segment, ovir3d.PUBLISHED),
    "maskclustering": Method("MaskClustering", maskclustering.segment, maskclustering.PUBLISHED),
    "onlineanyseg": Method("OnlineAnySeg", onlineanyseg.segment, onlineanyseg.PUBLISHED),
}


def segment_cache(method: str, cache: str | Path, out: str | Path, config: Any = None) -> int:
    """Segments a cache with a comparator and writes a predictions folder.

    Args:
        method: a key of `METHODS`.
        cache: a cache.
        out: predictions folder; an older one there is replaced.
        config: its settings; None: the published ones.

    Returns:
        The number of instances.

    Raises:
        InputError: the cache cannot be read, or the folder not be written.
    """
    check_writable(Path(out))
    config = config or METHODS[method].published
    reader = CacheReader(cache, state_attention=False)
    scene = METHODS[method].segment(reader, config)
    write_predictions(
        out,
        cast(SegmentedScene, scene),  # It has all that is written.
        reader,
        config={method: asdict(config)},
        checkpoint=method,
    )
    return scene.num_instances
