"""All or nothing: a folder is made beside its target and takes its place in one rename."""

import fcntl
import os
import shutil
from pathlib import Path

from moonseg_jax.cache.manifest import is_cache
from moonseg_jax.structs import InputError


class Staging:
    """The folder that becomes ``target`` on `commit`.

    It is made inside ``.<target>.partial`` beside the target, with a lock that dies with its
    process: what a killed run left is removed by the next run, and a live run is left alone.

    Args:
        target: where the folder will be.

    Raises:
        InputError: ``target`` exists and is not a cache, or another process is writing it.
        OSError: the disk says no.
    """

    def __init__(self, target: Path):
        self._target = target
        self._partial = target.with_name(f".{target.name}.partial")
        self._replaced = self._partial / "replaced"
        self.path = self._partial / "new"
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._partial.exists():
            self._lock = self._take_lock()
            self.discard()
        if target.exists() and not is_cache(target):
            raise InputError(f"{target}: exists and is not a cache; remove it or name another path")
        self._partial.mkdir()
        self._lock = self._take_lock()
        self.path.mkdir()

    def commit(self) -> None:
        """Puts the folder in the target's place; an older cache there is removed afterwards."""
        _sync(self.path)
        if self._target.exists():
            os.rename(self._target, self._replaced)
        os.rename(self.path, self._target)
        _sync(self._target.parent)
        self.discard()

    def discard(self) -> None:
        """Removes what was not committed; the target is as it was before, or as committed."""
        if self._replaced.exists() and not self._target.exists():
            os.rename(self._replaced, self._target)  # Stopped between the renames of `commit`.
        shutil.rmtree(self._partial, ignore_errors=True)
        os.close(self._lock)

    def _take_lock(self) -> int:
        lock = os.open(self._partial / "lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise InputError(
                f"{self._target}: another process is writing this cache; wait for it to end"
            ) from None
        return lock


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
