"""Several processes that train together, on one machine or many: JAX's own distributed runtime.

Every process runs the same program on the same arguments; one of them writes the files.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from moonseg_jax.structs import InputError


def join_processes(where: str | None = None) -> None:
    """Joins the other processes of a run; comes before anything else that JAX does.

    Args:
        where: ``HOST:PORT,COUNT,INDEX``: address of process 0, number of processes, and which this
            one is. None lets JAX ask the cluster (Slurm, Open MPI, Kubernetes, TPU pods).

    Raises:
        InputError: where the address cannot be read, or there is no cluster to ask.
    """
    try:
        if where is None:
            jax.distributed.initialize()
        else:
            address, count, index = where.split(",")
            jax.distributed.initialize(address, int(count), int(index))
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"no other processes to train with ({error}); run under Slurm, Open MPI, Kubernetes or "
            "on a TPU pod, or give --distributed=HOST:PORT,COUNT,INDEX"
        ) from error


def several() -> bool:
    """Whether there are others."""
    return jax.process_count() > 1


def is_main() -> bool:
    """Whether this process writes the files and shows the progress."""
    return jax.process_index() == 0


def any_process(flag: bool) -> bool:
    """Whether any process says so; all of them have to ask."""
    return any(_gather(flag))


def total_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Sums over the processes; all of them have to ask, with the same names."""
    return {name: int(sum(_gather(count))) for name, count in counts.items()}


def check_shared(step: int, place: str) -> None:
    """Refuses a folder that is not the same one for all processes.

    Args:
        step: of the last checkpoint found in it.
        place: the folder, for the message.

    Raises:
        InputError: in every process.
    """
    steps = _gather(step)
    if len(set(steps)) > 1:
        raise InputError(
            f"{place} holds step {max(steps)} for one process and {min(steps)} for another; "
            "choose a --workdir on a file system that all machines share"
        )


def wait_for_all(what: str) -> None:
    """Goes on when all processes are here."""
    if several():
        multihost_utils.sync_global_devices(what)


def fetch(tree: Any) -> Any:
    """Copies arrays to the host, whole, wherever their parts lie; all processes have to ask."""

    def copy(x: Any) -> np.ndarray:
        if not isinstance(x, jax.Array) or x.is_fully_addressable or x.is_fully_replicated:
            return np.array(x)
        return multihost_utils.process_allgather(x, tiled=True)

    return jax.tree.map(copy, tree)


def _gather(value: int) -> list[int]:
    """What each process says."""
    if not several():
        return [value]
    return np.ravel(multihost_utils.process_allgather(np.int32(value))).tolist()
