"""Minimum-cost assignment in which every row may also stay alone, for the price of staying alone.

Rows bid for columns all at once, as in an auction, which settles all but tangled rivalries in a
round or two; shortest augmenting paths settle the rest. Both keep the prices such that no row would
rather be elsewhere, hence the end is optimal.

Where every operation is a call to the device and every look at a result a wait for it, as on a
GPU, searches like these cost more than all they compute. There the whole of it is one kernel,
written once: no operation below gathers or scatters, so that Pallas can compile it as it is.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

_ROUNDS = 8  # Of bidding, at most: rivals for tied columns would outbid each other for ever.
_FREE = -1
# Of the kernel: the costs that bid at once, and the threads among which they are divided.
_TILE = 1 << 13
_WARPS = 8


@struct.dataclass
class _Market:
    """Who has what, at which price.

    Attributes:
        seat: ``[q]`` int32, the column of each row; -1 where it is free, n where it stays alone.
        price: ``[n]``, the dual: what is taken off a column's cost, never positive.
        round: ``[]`` int32.
    """

    seat: jax.Array
    price: jax.Array
    round: jax.Array


def assign(cost: jax.Array, alone: float | jax.Array) -> jax.Array:
    """Assigns rows to columns at the least total cost, each column at most once.

    A row that would pay the same alone takes a column where one is free.

    Args:
        cost: ``[q n]``, +inf where a row cannot have a column.
        alone: the cost of a row without a column, ``[]``.

    Returns:
        ``[q]`` int32, the column of each row; -1 where it stays alone.
    """
    alone = jnp.asarray(alone, cost.dtype)
    return jax.lax.platform_dependent(cost, alone, cuda=_in_one_kernel, default=_among_few)


def _in_one_kernel(cost: jax.Array, alone: jax.Array, interpret: bool = False) -> jax.Array:
    q, n = cost.shape
    rows, columns = pl.next_power_of_2(q), pl.next_power_of_2(n)
    cost = jnp.pad(cost, ((0, rows - q), (0, columns - n)), constant_values=jnp.inf)
    together = max(1, min(rows, _TILE // columns))

    def kernel(cost: jax.Ref, alone: jax.Ref, choice: jax.Ref) -> None:
        choice[...] = _solve(cost, alone[0], together)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((rows,), jnp.int32),
        compiler_params=triton.CompilerParams(num_warps=_WARPS, num_stages=1),
        interpret=interpret,
        name="assign",
    )(cost, alone[None])[:q]


def _among_few(cost: jax.Array, alone: jax.Array) -> jax.Array:
    """Few columns can be had in a view of a large scene: then the search sees only those."""
    q, n = cost.shape
    few = min(n, 2 * q)
    used = jnp.any(cost < jnp.inf, axis=0)
    count = jnp.sum(used, dtype=jnp.int32)

    def over_few() -> jax.Array:
        column = jnp.nonzero(used, size=few, fill_value=0)[0].astype(jnp.int32)
        choice = _solve(jnp.where(jnp.arange(few) < count, cost[:, column], jnp.inf), alone, q)
        return jnp.where(choice >= 0, column[choice], -1)

    return jax.lax.cond(count <= few, over_few, lambda: _solve(cost, alone, q))


def _solve(cost: jax.Array | jax.Ref, alone: jax.Array, together: int) -> jax.Array:
    """`assign`, of an array or in a kernel, where so many rows bid together."""
    q, n = cost.shape
    market = _Market(
        seat=jnp.full(q, _FREE, jnp.int32),
        price=jnp.zeros(n, cost.dtype),
        round=jnp.zeros((), jnp.int32),
    )
    market = jax.lax.while_loop(
        lambda m: (jnp.min(m.seat) == _FREE) & (m.round < _ROUNDS),
        lambda m: _bid(m, cost, alone, together),
        market,
    )
    market = jax.lax.while_loop(
        lambda m: jnp.min(m.seat) == _FREE, lambda m: _augment(m, cost, alone), market
    )
    return jnp.where(market.seat < n, market.seat, -1)


def _bid(market: _Market, cost: jax.Array | jax.Ref, alone: jax.Array, together: int) -> _Market:
    """Every free row bids for its best column as much as it prefers it to its second best."""
    n = cost.shape[1]
    choice, bid, highest = _bids(market, cost, alone, together)
    row, free = _index(choice), market.seat == _FREE
    better = (bid[None] > bid[:, None]) | ((bid[None] == bid[:, None]) & (row[None] < row[:, None]))
    beaten = _any(better & (choice[None] == choice[:, None]), axis=1)
    buys = (bid >= 0) & ~beaten
    outbid = _any(buys[None] & (choice[None] == market.seat[:, None]), axis=1)
    seat = jnp.where(outbid, _FREE, market.seat)
    return _Market(
        seat=jnp.where(buys | (free & (choice == n)), choice, seat),
        price=jnp.where(highest >= 0, market.price - highest, market.price),
        round=market.round + 1,
    )


def _bids(
    market: _Market, cost: jax.Array | jax.Ref, alone: jax.Array, together: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What rows choose ``[q]`` (n to stay alone), what they bid ``[q]``, and the highest ``[n]``.

    -1 stands for no bid.
    """
    (q, n), seat = cost.shape, market.seat
    if together == q:
        return _bids_of(cost[:], seat == _FREE, market.price, alone)
    row = _index(seat)

    def piece(index: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        start = index * together
        here = row[:, None] == start + jnp.arange(together, dtype=jnp.int32)[None]
        free = _any(here & (seat == _FREE)[:, None], axis=0)

        def add() -> tuple[jax.Array, ...]:
            costs = cost[pl.ds(start, together)]
            choice, bid, highest = _bids_of(costs, free, market.price, alone)
            inside = (start <= row) & (row < start + together)
            return (
                jnp.where(inside, jnp.max(jnp.where(here, choice[None], -1), axis=1), carry[0]),
                jnp.where(inside, jnp.max(jnp.where(here, bid[None], -1.0), axis=1), carry[1]),
                jnp.maximum(highest, carry[2]),
            )

        return jax.lax.cond(jnp.max(free.astype(jnp.int32)) > 0, add, lambda: carry)

    none = jnp.full(q, -1, jnp.int32), jnp.full(q, -1.0, cost.dtype), jnp.full(n, -1.0, cost.dtype)
    return jax.lax.fori_loop(0, q // together, piece, none)


def _bids_of(
    cost: jax.Array, free: jax.Array, price: jax.Array, alone: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """As `_bids`, of some rows alone: ``cost [r n]``, ``free [r]``."""
    n = cost.shape[1]
    reduced = cost - price[None]
    best = jnp.min(reduced, axis=1)
    choice = jnp.where(best > alone, n, _first(reduced == best[:, None], axis=1))
    chosen = _index(price)[None] == choice[:, None]
    second = jnp.minimum(jnp.min(jnp.where(chosen, jnp.inf, reduced), axis=1), alone)
    bid = jnp.where(free & (choice < n), second - best, -1.0)
    return choice, bid, jnp.max(jnp.where(chosen, bid[:, None], -1.0), axis=0)


@struct.dataclass
class _Search:
    """Dijkstra's search for the shortest augmenting path.

    Attributes:
        row: ``[]`` int32, the row reached last.
        far: ``[]``, how far that is; in the end the length of the path.
        distance, before: ``[n]``, how far each column is, and int32 the row before it.
        passed: ``[n]`` bool, columns whose distance is final.
        leaving, leaver: ``[]``, the shortest way to let a row stay alone, and which (int32).
        end: ``[]`` int32, the free column that was reached; n where ``leaver`` stays alone.
        found: ``[]`` bool.
    """

    row: jax.Array
    far: jax.Array
    distance: jax.Array
    before: jax.Array
    passed: jax.Array
    leaving: jax.Array
    leaver: jax.Array
    end: jax.Array
    found: jax.Array


def _augment(market: _Market, cost: jax.Array | jax.Ref, alone: jax.Array) -> _Market:
    """Gives the first free row its place, along a shortest augmenting path."""
    n, row = cost.shape[1], _index(market.seat)
    path = _shortest_path(market, cost, alone, _first(market.seat == _FREE, axis=0))

    def hand_on(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        seat, column = carry
        taker = _at(path.before, column)
        return jnp.where(row == taker, column, seat), _at(seat, taker)

    leaves = path.end == n
    seat = jnp.where(leaves & (row == path.leaver), n, market.seat)
    first = jnp.where(leaves, _at(market.seat, path.leaver), path.end)
    seat, _ = jax.lax.while_loop(lambda c: c[1] != _FREE, hand_on, (seat, first))
    price = market.price + jnp.where(path.passed, path.distance - path.far, 0.0)
    return _Market(seat=seat, price=price, round=market.round)


def _shortest_path(
    market: _Market, cost: jax.Array | jax.Ref, alone: jax.Array, start: jax.Array
) -> _Search:
    n, kind = cost.shape[1], cost.dtype
    row, columns = _index(market.seat), _index(market.price)

    def extend(s: _Search) -> _Search:
        reduced = cost[s.row] - market.price
        # What the row pays where it sits; the free one, the least it could.
        least = jnp.minimum(jnp.min(reduced), alone)
        paid = jnp.where(s.row == start, least, _at(reduced, _at(market.seat, s.row)))
        through = jnp.where(s.passed, jnp.inf, s.far + reduced - paid)
        before = jnp.where(through < s.distance, s.row, s.before)
        distance = jnp.minimum(s.distance, through)
        own_way = s.far + alone - paid
        leaver = jnp.where(own_way < s.leaving, s.row, s.leaver)
        leaving = jnp.minimum(s.leaving, own_way)
        ahead = jnp.where(s.passed, jnp.inf, distance)
        nearest = jnp.min(ahead)
        column = _first(ahead == nearest, axis=0)
        leaves = leaving < nearest
        owner = jnp.max(jnp.where(market.seat == column, row, _FREE))
        found = leaves | (owner == _FREE)
        return _Search(
            row=jnp.where(found, s.row, owner),
            far=jnp.minimum(leaving, nearest),
            distance=distance,
            before=before,
            passed=s.passed | (~found & (columns == column)),
            leaving=leaving,
            leaver=leaver,
            end=jnp.where(leaves, n, column),
            found=found,
        )

    first = _Search(
        row=start,
        far=jnp.zeros((), kind),
        distance=jnp.full(n, jnp.inf, kind),
        before=jnp.full(n, _FREE, jnp.int32),
        passed=jnp.zeros(n, bool),
        leaving=jnp.full((), jnp.inf, kind),
        leaver=start,
        end=jnp.full((), n, jnp.int32),
        found=jnp.zeros((), bool),
    )
    return jax.lax.while_loop(lambda s: ~s.found, extend, first)


def _index(x: jax.Array) -> jax.Array:
    return jnp.arange(len(x), dtype=jnp.int32)


def _at(x: jax.Array, index: jax.Array) -> jax.Array:
    """``x[index]`` of ``[n]`` without a gather."""
    return jnp.sum(jnp.where(_index(x) == index, x, 0), dtype=x.dtype)


def _any(x: jax.Array, axis: int) -> jax.Array:
    """`jnp.any`, which a kernel cannot have."""
    return jnp.max(x.astype(jnp.int32), axis=axis) > 0


def _first(x: jax.Array, axis: int) -> jax.Array:
    """Index of the first True along an axis; as a plain minimum it is vectorised on a CPU."""
    index = jax.lax.broadcasted_iota(jnp.int32, x.shape, axis)
    return jnp.min(jnp.where(x, index, jnp.iinfo(jnp.int32).max), axis=axis)
