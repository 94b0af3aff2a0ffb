"""When the disk refuses: one sentence, with a full disk told from the rest."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moonseg_jax.structs import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(InputError):
    """There is no room: whatever is written next to it will fail as well."""


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turns what a disk raises while ``target`` is written into words.

    Raises:
        DiskFullError: the disk or the user's quota is full.
        InputError: the disk refuses for another reason.
    """
    try:
        yield
    except OSError as error:
        raise _in_words(target, error) from error


@contextmanager
def store_errors(target: Path) -> Iterator[None]:
    """As `disk_errors`, where TensorStore writes: it raises `ValueError` when a disk refuses."""
    try:
        with disk_errors(target):
            yield
    except ValueError as error:
        raise _in_words(target, error) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside ``path``, of the same suffix, that takes its place once it is written.

    Raises:
        InputError: as `disk_errors`; what was at ``path`` is still there, and nothing else.
    """
    beside = path.with_name(f".{path.stem}.partial{path.suffix}")
    with disk_errors(path):
        try:
            yield beside
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def check_may_write(path: Path) -> None:
    """To be called before hours of work whose result goes to ``path``.

    Raises:
        InputError: nothing can be made there.
    """
    parent = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise InputError(f"{path} cannot be made: {parent} is not a folder that you may write to")


def _in_words(target: Path, error: OSError | ValueError) -> InputError:
    if _is_full(error):
        return DiskFullError(
            f"{target}: the disk is full; free some room and run the same command again"
        )
    return InputError(f"{target}: cannot be written: {error}")


def _is_full(error: OSError | ValueError) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(os.strerror(code) in str(error) for code in _FULL)
