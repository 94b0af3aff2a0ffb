"""When the disk refuses: one sentence, with a full disk told from the rest."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moonseg_jax.structs import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(InputError):
    """There is no room for a cache: whatever is written next to it will fail as well."""


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turns what a disk raises while ``target`` is written into words.

    Raises:
        DiskFullError: the disk or the user's quota is full.
        InputError: the disk refuses for another reason.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # TensorStore raises the latter for the former.
        if _is_full(error):
            raise DiskFullError(
                f"{target}: the disk is full; free some room and run the same command again"
            ) from error
        raise InputError(f"{target}: cannot be written: {error}") from error


def _is_full(error: OSError | ValueError) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(os.strerror(code) in str(error) for code in _FULL)
