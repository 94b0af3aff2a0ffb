"""The members of a sweep in groups, one after another: memory for fewer at once."""

import logging
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

logger = logging.getLogger(__name__)

# Of the memory, for a program. Its temporaries are one piece, and one of 62 GiB was not to be had
# of an H200's 105, although the sum fitted; probably trials of the compiler had split the rest.
SHARE = 0.5


def in_groups(one: Callable[..., Any], each: tuple[Any, ...], groups: int, mesh: Mesh) -> Any:
    """``vmap(one)(*each)``, over one group of members after the other.

    Args:
        one: of a single member.
        each: its arguments, ``[k ...]``.
        groups: dividing the members of a device; every group has members of all devices.
        mesh: with the axis ``member``.

    Returns:
        ``[k ...]``.
    """
    if groups == 1:
        return jax.vmap(one)(*each)
    devices = mesh.shape["member"]

    def split(x: jax.Array) -> jax.Array:
        by_device = x.reshape(devices, groups, -1, *x.shape[1:])
        return by_device.swapaxes(0, 1).reshape(groups, -1, *x.shape[1:])

    def join(x: jax.Array) -> jax.Array:
        by_group = x.reshape(groups, devices, -1, *x.shape[2:])
        return by_group.swapaxes(0, 1).reshape(-1, *x.shape[2:])

    done = jax.lax.map(lambda group: jax.vmap(one)(*group), jax.tree.map(split, each))
    return jax.tree.map(join, done)


def group_members(
    program: Callable[[int], Any], args: tuple[Any, ...], members: int, at_once: int
) -> Callable[..., Any]:
    """Chooses how many members go together, and compiles.

    Args:
        program: jitted, for a number of groups.
        args: of the program; they lie on the devices.
        members: of one device.
        at_once: of them together, at most; 0 = as many as the memory of the device holds, told by
            what the compiler says the program takes.

    Returns:
        The program.
    """
    sizes = [size for size in range(members, 0, -1) if members % size == 0]
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if at_once or limit is None:
        return program(members // next(size for size in sizes if size <= (at_once or members)))
    for size in sizes:
        compiled = program(members // size).lower(*args).compile()
        wanted = bytes_wanted(compiled)
        if wanted <= SHARE * limit:
            return compiled
        logger.info("%d members at once want %.1f GB of %.1f", size, wanted / 1e9, limit / 1e9)
    return compiled


def bytes_wanted(compiled: Any) -> int:
    """What a program has in memory: arguments, temporaries, and results not in their place.

    From its code alone, so that all processes come to the same.
    """
    told = compiled.memory_analysis()
    beside = told.output_size_in_bytes - told.alias_size_in_bytes
    return told.argument_size_in_bytes + told.temp_size_in_bytes + beside
