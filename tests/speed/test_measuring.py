import jax
import jax.numpy as jnp
import pytest

from experiments.speed.flat import tenths, verdict
from experiments.speed.measuring import floor_ms, matmul_flops, timed


def test_products_in_a_scan_count_every_time():
    def product(x, w):
        return jax.lax.scan(lambda y, _: (y @ w, None), x, length=5)[0]

    jaxpr = jax.make_jaxpr(jax.jit(product))(jnp.ones((2, 3)), jnp.ones((3, 3))).jaxpr
    assert matmul_flops(jaxpr) == 5 * 2 * 2 * 3 * 3


def test_of_branches_the_least_counts():
    def product(which, x, w):
        branches = [lambda: x @ w @ w, lambda: x @ w, lambda: x @ w @ w @ w]
        return jax.lax.switch(which, branches)

    jaxpr = jax.make_jaxpr(product)(0, jnp.ones((2, 3)), jnp.ones((3, 3))).jaxpr
    assert matmul_flops(jaxpr) == 2 * 2 * 3 * 3


@pytest.mark.parametrize("flops, traffic, expected", [(1e9, 1, 1.0), (1, 4e9, 2.0)])
def test_the_floor_is_the_scarcer_of_both(flops, traffic, expected):
    found = {"float32_flops": 1e12, "bytes_per_s": 2e12}
    assert floor_ms(found, flops, traffic) == pytest.approx(expected)


def test_timed_runs_even_without_a_budget():
    calls = []
    row = timed(lambda: calls.append(1), seconds=0.0, wait=lambda _: None)
    assert row["runs"] == len(calls) - 1 >= 5


def test_a_path_that_slows_down_shows():
    frame = {"compiled": 0, "keys": 1, "rows": 1, "state_mb": 1.0}
    history = [frame | {"ms": 1.0 + (index >= 900)} for index in range(1020)]
    history[500]["compiled"] = 1
    told = verdict(history)
    assert told["last_over_first_tenth"] == 2.0
    assert told["frames_that_compiled"] == 1
    assert [row["compiled"] for row in tenths(history)].index(1) == 4
