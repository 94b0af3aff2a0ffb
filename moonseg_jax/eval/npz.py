"""Reading other people's npz files."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moonseg_jax.structs import InputError


def read_npz(
    file: Path, names: Sequence[str], remedy: str, optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """The named arrays of an npz; nothing pickled is ever loaded.

    Args:
        file: to read.
        names: arrays it must have.
        remedy: what the message ends with.
        optional: arrays it may have.

    Raises:
        InputError: no such file, not an npz, or an array is missing.
    """
    if not file.is_file():
        raise InputError(f"{file} does not exist: {remedy}")
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            return {name: data[name] for name in [*names, *(o for o in optional if o in data)]}
    except KeyError as error:
        raise InputError(f"{file} has no array {error.args[0].split()[0]}: {remedy}") from error
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{file} is not a readable npz: {remedy}") from error
