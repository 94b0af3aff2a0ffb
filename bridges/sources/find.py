"""Which recording lies at a path, and which recordings lie below it."""

from collections.abc import Callable
from glob import glob
from pathlib import Path

from bridges.sources.files import IMAGE_SUFFIXES, list_files, natural_key
from bridges.sources.folders import images, posed_rgbd, seven_scenes
from bridges.sources.layouts import Layout
from bridges.sources.scannet import is_scannet, scannet
from bridges.sources.scenenn import is_scenenn, scenenn
from bridges.sources.sens import sens
from bridges.sources.video import VIDEO_SUFFIXES
from moonseg_jax.structs import InputError

_LEVELS = 3  # Data set, scene, sequence.


def find_layout(path: Path) -> Layout:
    """Reads the layout of a folder or a ``.sens`` file; InputError where there are no frames."""
    layout = _read_layout(path)
    if not layout.frames:
        raise InputError(
            f"{path} holds no frames: give a folder with color/ depth/ pose/ intrinsics.txt, one"
            " with frame-000000.color.jpg and its .depth.png and .pose.txt, a ScanNet or SceneNN"
            " scene, a folder of images, or a video file."
        )
    return layout


def list_scenes(where: str | Path) -> list[Path]:
    """The recordings that something names, in natural order.

    Args:
        where: a recording itself; a folder of recordings, up to three levels deep (ScanNet's
            ``scans/``, SceneNN's or 7-Scenes' root, a folder of videos); a glob of either; or a
            ``.txt`` file with one recording a line, relative to itself (``#`` starts a comment).
            Below a folder, those with a structure of their own count before images and videos.

    Returns:
        Paths that `open_source` opens.

    Raises:
        InputError: there is none, or a line of the file names none.
    """
    path = Path(where).expanduser()
    if path.is_file() and path.suffix.lower() == ".txt":
        return _listed(path)
    roots = [path] if path.exists() else [Path(match) for match in glob(str(path), recursive=True)]
    for recognise in (_has_structure, _is_recording):
        scenes = {scene for root in roots for scene in _below(root, recognise, _LEVELS)}
        if scenes:
            return sorted(scenes, key=lambda scene: natural_key(str(scene)))
    raise InputError(
        f"{where} names no recording: give one, a folder of recordings, a quoted glob, or a .txt"
        " file with one recording a line."
    )


def _read_layout(path: Path) -> Layout:
    path = _inner(path)
    if path.is_file() or any(path.glob("*.sens")):
        return sens(path)
    if (path / "color").is_dir():
        return scannet(path) if is_scannet(path) else posed_rgbd(path)
    if is_scenenn(path):
        return scenenn(path)
    return seven_scenes(path) if any(path.glob("frame-*.color.*")) else images(path)


def _inner(path: Path) -> Path:
    """OnlineAnySeg keeps the export of a ScanNet scene in a folder ``frames``."""
    return path / "frames" if (path / "frames" / "color").is_dir() else path


def _has_structure(path: Path) -> bool:
    """Whether a path is a recording with a structure of its own; looks at names only."""
    if path.is_file():
        return path.suffix.lower() == ".sens"
    return (
        (_inner(path) / "color").is_dir()
        or len(list(path.glob("*.sens"))) == 1
        or is_scenenn(path)
        or any(path.glob("frame-*.color.*"))
    )


def _is_recording(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() in VIDEO_SUFFIXES
    return bool(list_files(path, IMAGE_SUFFIXES))


def _below(path: Path, recognise: Callable[[Path], bool], levels: int) -> list[Path]:
    if recognise(path):
        return [path]
    if levels == 0 or not path.is_dir():
        return []
    children = [child for child in path.iterdir() if not child.name.startswith(".")]
    return [scene for child in children for scene in _below(child, recognise, levels - 1)]


def _listed(path: Path) -> list[Path]:
    scenes = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        name = line.split("#")[0].strip()
        scene = path.parent / Path(name).expanduser()
        if name and not (scene.exists() and (_has_structure(scene) or _is_recording(scene))):
            raise InputError(
                f"{path}, line {number}: {scene} is not a recording: correct the line."
            )
        if name:
            scenes.append(scene)
    if not scenes:
        raise InputError(f"{path} lists no recording: write one path a line.")
    return scenes
