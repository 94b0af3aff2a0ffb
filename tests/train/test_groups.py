"""Members in groups: the same results, and as many at once as fit."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import moonseg_jax.train.groups as groups_module
from moonseg_jax.train.groups import group_members, in_groups


@pytest.mark.parametrize(("devices", "groups"), [(1, 1), (1, 3), (2, 1), (2, 3), (3, 2)])
def test_groups_change_nothing(devices, groups):
    each = (jnp.arange(6.0), {"x": jnp.arange(12.0).reshape(6, 2)})
    mesh = SimpleNamespace(shape={"member": devices})

    def one(a, b):
        return a * b["x"], a

    got = in_groups(one, each, groups, mesh)  # pyright: ignore[reportArgumentType]
    jax.tree.map(np.testing.assert_array_equal, got, jax.vmap(one)(*each))


def test_a_group_has_members_of_every_device():
    mesh, seen = SimpleNamespace(shape={"member": 2}), []

    def one(a):
        jax.debug.callback(lambda x: seen.append(int(x)), a)
        return a

    with jax.disable_jit():
        in_groups(one, (jnp.arange(8),), 2, mesh)  # pyright: ignore[reportArgumentType]
    assert sorted(seen[:4]) == [0, 1, 4, 5]


class Program:
    """Takes 10 bytes a member at once, and 3 for the arguments."""

    def __init__(self, groups):
        self.groups = groups
        size = 12 // groups
        self.told = SimpleNamespace(
            argument_size_in_bytes=3,
            temp_size_in_bytes=10 * size,
            output_size_in_bytes=5,
            alias_size_in_bytes=5,
        )

    def lower(self, *_):
        return self

    def compile(self):
        return self

    def memory_analysis(self):
        return self.told


@pytest.mark.parametrize(
    ("limit", "at_once", "groups"),
    [(None, 0, 1), (250, 0, 1), (200, 0, 2), (100, 0, 3), (5, 0, 12), (5, 6, 2), (5, 5, 3)],
)
def test_as_many_at_once_as_fit(limit, at_once, groups, monkeypatch):
    stats = {"bytes_limit": limit} if limit else None
    device = SimpleNamespace(memory_stats=lambda: stats)
    monkeypatch.setattr(groups_module.jax, "local_devices", lambda: [device])
    assert group_members(Program, (), 12, at_once).groups == groups  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
