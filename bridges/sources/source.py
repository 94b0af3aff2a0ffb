"""What every recording offers, whatever its layout."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from moonseg_jax.structs import SourceFrame

IMAGE_FOLDERS = ("color", "rgb", "image", "images", "frames")


def scene_name(path: str | Path) -> str:
    """What a recording is called: its folder's name, or its file's without the suffix.

    Images alone often lie in a folder of the recording's, ``ROOM/color``: that is called ``ROOM``.
    """
    path = Path(path).absolute()
    if not path.is_dir():
        return path.stem
    return path.parent.name if path.name in IMAGE_FOLDERS and path.parent.name else path.name


class Source(ABC):
    """Frames of a recording, read lazily and in order; can be iterated more than once.

    Attributes:
        path: the folder or file; of a live source, what it is called.
        kind: ``posed_rgbd``, ``seven_scenes``, ``scannet`` (exported), ``sens``, ``scenenn``,
            ``images``, ``video``, ``camera`` or ``stream``.
        stride: every how many frames one is taken.
        image_size: ``(H, W)`` of every image.
        all_names: stem of every frame of the recording, in order, before ``stride``; none of a
            live source.
        names: of the frames that iterating yields (of a video: at most these; of a live source:
            none, it names frames as they arrive).
        lacks: which of ``depth``, ``poses``, ``intrinsics`` the recording does not have.
        skipped: ``(name, reason)`` of each frame left out.
    """

    path: Path
    kind: str
    stride: int
    image_size: tuple[int, int]
    all_names: tuple[str, ...]
    names: tuple[str, ...]
    lacks: tuple[str, ...]
    skipped: list[tuple[str, str]]

    def __len__(self) -> int:
        """How many frames iterating yields at most; 0 of a live source without an end."""
        return len(self.names)

    @abstractmethod
    def __iter__(self) -> Iterator[SourceFrame]:
        """Decodes ahead in threads; yields in order."""
