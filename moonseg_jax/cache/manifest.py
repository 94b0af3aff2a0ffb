"""``manifest.json``: written last, so its presence says that the cache is whole.

It holds the schema version, the `SceneInfo` with the provenance of every array, each array's
dtype, shape and meaning, and every file's size and SHA-256.
"""

import dataclasses
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moonseg_jax.cache.schema import SCHEMA_VERSION, SHARD_FRAMES, frame_schema
from moonseg_jax.structs import InputError, SceneInfo

MANIFEST = "manifest.json"
_FORMAT = "moonseg-cache"
REMEDY = "copy the cache again, or make it again"
_HASH_THREADS = 4


@dataclass(frozen=True)
class Manifest:
    """What a cache says about itself.

    Attributes:
        info: the scene, frame names and skipped frames included.
        words: mask words of every frame.
        num_masks: the largest number of valid masks in a frame.
        files: path relative to the cache -> ``(bytes, SHA-256)``; all files but the manifest.
    """

    info: SceneInfo
    words: int
    num_masks: int
    files: dict[str, tuple[int, str]]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.info.frame_names)

    def describe(self, name: str) -> str:
        """In words, what a file of the cache holds: its array and frames."""
        folder, *rest = name.split("/")
        array = frame_schema(self.info, self.words).get(folder)
        if array is None or len(rest) < 2:
            return "metadata"
        if not array.bulk:
            return f"{array.name}, all frames"
        first = int(rest[1]) * SHARD_FRAMES
        return f"{array.name}, frames {first} to {min(first + SHARD_FRAMES, self.frames) - 1}"


def write_manifest(root: Path, info: SceneInfo, words: int, num_masks: int) -> None:
    """Hashes all files under ``root`` and writes the manifest, to the disk itself."""
    frames = len(info.frame_names)
    arrays = {
        a.name: {
            "dtype": a.dtype,
            "shape": [frames, *a.shape],
            "meaning": a.meaning,
            "provenance": a.provenance,
        }
        for a in frame_schema(info, words).values()
    }
    manifest = {
        "format": _FORMAT,
        "schema_version": SCHEMA_VERSION,
        "frames": frames,
        "words": words,
        "num_masks": num_masks,
        "info": dataclasses.asdict(info),
        "arrays": arrays,
        "files": hash_files(root, sorted(_files(root))),
    }
    with (root / MANIFEST).open("w") as file:
        json.dump(manifest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def read_manifest(root: Path) -> Manifest:
    """Reads the manifest of a committed cache.

    Raises:
        InputError: no cache, a half-written one, or one of another schema version.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such cache; make one with `moonseg cache`")
    raw = _load(root)
    if raw is None:
        raise InputError(
            f"{root}: no readable {MANIFEST}: not a cache, or one only half written; make it again"
        )
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{root}: schema version {version}, and this program reads {SCHEMA_VERSION}; "
            "make the cache again with this program"
        )
    try:
        files = {name: (int(size), str(digest)) for name, (size, digest) in raw["files"].items()}
        info = SceneInfo.from_dict(raw["info"])
        manifest = Manifest(info, raw["words"], raw["num_masks"], files)
        expected = frame_schema(manifest.info, manifest.words)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{root / MANIFEST}: damaged ({error!r}); make the cache again") from error
    if raw.get("frames") != manifest.frames or set(raw.get("arrays", ())) != set(expected):
        raise InputError(f"{root / MANIFEST}: contradicts itself; make the cache again")
    return manifest


def is_cache(root: Path) -> bool:
    """Whether ``root`` is a committed cache, of whatever version."""
    return _load(root) is not None


def check_files(root: Path, manifest: Manifest) -> None:
    """Compares presence and size of every file with the manifest; cheap.

    Raises:
        InputError: naming the first file that is missing or has another size.
    """
    for name, (size, _) in manifest.files.items():
        try:
            found = os.stat(root / name).st_size
        except OSError:
            raise InputError(
                f"{root / name}: missing ({manifest.describe(name)}); {REMEDY}"
            ) from None
        if found != size:
            raise InputError(
                f"{root / name}: {found} bytes instead of {size} "
                f"({manifest.describe(name)}); {REMEDY}"
            )


def verify_files(root: Path, manifest: Manifest) -> None:
    """Hashes every file and compares it with the manifest; reads the whole cache.

    Raises:
        InputError: naming the first file that differs.
    """
    check_files(root, manifest)
    for name, found in hash_files(root, list(manifest.files)).items():
        if found != manifest.files[name]:
            raise InputError(f"{root / name}: corrupt ({manifest.describe(name)}); {REMEDY}")


def hash_files(root: Path, names: list[str]) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of files under ``root``."""

    def entry(name: str) -> tuple[int, str]:
        with (root / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest

    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        return dict(zip(names, pool.map(entry, names), strict=True))


def _files(root: Path) -> list[str]:
    return [str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()]


def _load(root: Path) -> dict[str, Any] | None:
    try:
        raw = json.loads((root / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return raw if isinstance(raw, dict) and raw.get("format") == _FORMAT else None
