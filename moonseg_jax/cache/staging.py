"""All or nothing: a folder is made beside its target and takes its place in one rename."""

import fcntl
import os
import shutil
from pathlib import Path

from moonseg_jax.cache.disk import check_may_write
from moonseg_jax.cache.manifest import is_cache
from moonseg_jax.structs import InputError

_NEW, _REPLACED = "new", "replaced"


class Staging:
    """The folder that becomes ``target`` on `commit`.

    It is made inside ``.<target>.partial`` beside the target, with a lock that dies with its
    process: what a killed run left is removed by the next run, and a live run is left alone.

    Args:
        target: where the folder will be.

    Raises:
        InputError: as `check_target`, or another process is writing it.
        OSError: the disk says no.
    """

    def __init__(self, target: Path):
        discard_leftovers(target)
        check_target(target)
        self._target = target
        self._partial = _partial(target)
        self._partial.mkdir(parents=True)
        self._lock = _take_lock(target)
        self.path = self._partial / _NEW
        self.path.mkdir()

    def commit(self) -> None:
        """Puts the folder in the target's place; an older cache there is removed afterwards."""
        _sync(self.path)
        if self._target.exists():
            os.rename(self._target, self._partial / _REPLACED)
        os.rename(self.path, self._target)
        _sync(self._target.parent)
        self.discard()

    def discard(self) -> None:
        """Removes what was not committed; the target is as it was before, or as committed."""
        _discard(self._target, self._lock)


def check_target(target: Path) -> None:
    """Raises an `InputError` where a cache cannot be put: no permission, or not a cache's place."""
    check_may_write(target)
    if target.exists() and not is_cache(target):
        raise InputError(f"{target}: exists and is not a cache; remove it or name another path")


def discard_leftovers(target: Path) -> None:
    """Removes what a killed run left beside ``target``, and gives back a cache it had moved away.

    Raises:
        InputError: no leftovers but a live run: another process is writing ``target``.
    """
    if _partial(target).exists():
        _discard(target, _take_lock(target))


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def _discard(target: Path, lock: int) -> None:
    replaced = _partial(target) / _REPLACED
    if replaced.exists() and not target.exists():
        os.rename(replaced, target)  # Stopped between the renames of `commit`.
    shutil.rmtree(_partial(target), ignore_errors=True)
    os.close(lock)


def _take_lock(target: Path) -> int:
    file = _partial(target) / "lock"
    lock = os.open(file, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have removed this file, and locked its own, since it was opened.
        ours = file.exists() and os.path.samestat(os.fstat(lock), file.stat())
    except BlockingIOError:
        ours = False
    if not ours:
        os.close(lock)
        raise InputError(f"{target}: another process is writing this cache; wait for it to end")
    return lock


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
