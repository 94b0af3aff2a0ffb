"""Minimum-cost assignment in which every row may also stay alone, for the price of staying alone.

Rows bid for columns all at once, as in an auction, which settles all but tangled rivalries in a
round or two; shortest augmenting paths settle the rest. Both keep the prices such that no row would
rather be elsewhere, hence the end is optimal. An augmenting path for every row from the start would
be as short to write, and on a GPU a hundred small kernels one after the other.
"""

import jax
import jax.numpy as jnp
from flax import struct

_ROUNDS = 8  # Of bidding, at most: rivals for tied columns would outbid each other for ever.
_FREE = -1


@struct.dataclass
class _Market:
    """Who has what, at which price.

    Attributes:
        seat: ``[q]`` int32, the column of each row; -1 where it is free, n where it stays alone.
        owner: ``[n]`` int32, the row of each column; -1 where it is free.
        price: ``[n]``, the dual: what is taken off a column's cost, never positive.
        round: ``[]`` int32.
    """

    seat: jax.Array
    owner: jax.Array
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
    q, n = cost.shape
    market = _Market(
        seat=jnp.full(q, _FREE, jnp.int32),
        owner=jnp.full(n, _FREE, jnp.int32),
        price=jnp.zeros(n, cost.dtype),
        round=jnp.zeros((), jnp.int32),
    )
    market = jax.lax.while_loop(
        lambda m: jnp.any(m.seat == _FREE) & (m.round < _ROUNDS),
        lambda m: _bid(m, cost, alone),
        market,
    )
    market = jax.lax.while_loop(
        lambda m: jnp.any(m.seat == _FREE), lambda m: _augment(m, cost, alone), market
    )
    return jnp.where(market.seat < n, market.seat, -1)


def _bid(market: _Market, cost: jax.Array, alone: float | jax.Array) -> _Market:
    """Every free row bids for its best column as much as it prefers it to its second best."""
    q, n = cost.shape
    row, column = jnp.arange(q, dtype=jnp.int32), jnp.arange(n, dtype=jnp.int32)
    free = market.seat == _FREE
    reduced = cost - market.price[None]
    best = jnp.min(reduced, axis=1)
    choice = _first(reduced == best[:, None], axis=1)
    chosen = column[None] == choice[:, None]
    second = jnp.minimum(jnp.min(jnp.where(chosen, jnp.inf, reduced), axis=1), alone)
    leaves = free & (best > alone)
    bid = jnp.where((free & ~leaves)[:, None] & chosen, (second - best)[:, None], -1.0)
    highest = jnp.max(bid, axis=0)
    sold = highest >= 0
    owner = jnp.where(sold, _first(bid == highest[None], axis=0), market.owner)
    seated = jnp.max(jnp.where(owner[None] == row[:, None], column[None], _FREE), axis=1)
    return _Market(
        seat=jnp.where(leaves | (market.seat == n), n, seated),
        owner=owner,
        price=jnp.where(sold, market.price - highest, market.price),
        round=market.round + 1,
    )


def _first(x: jax.Array, axis: int) -> jax.Array:
    """Index of the first True along an axis; as a plain minimum it is vectorised on a CPU."""
    index = jax.lax.broadcasted_iota(jnp.int32, x.shape, axis)
    return jnp.min(jnp.where(x, index, jnp.iinfo(jnp.int32).max), axis=axis)


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


def _augment(market: _Market, cost: jax.Array, alone: float | jax.Array) -> _Market:
    """Gives the first free row its place, along a shortest augmenting path."""
    n = cost.shape[1]
    start = jnp.argmax(market.seat == _FREE).astype(jnp.int32)
    path = _shortest_path(market, cost, alone, start)

    def hand_on(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple:
        seat, owner, column = carry
        row = path.before[column]
        return seat.at[row].set(column), owner.at[column].set(row), market.seat[row]

    leaves = path.end == n
    seat = market.seat.at[path.leaver].set(jnp.where(leaves, n, market.seat[path.leaver]))
    first = jnp.where(leaves, market.seat[path.leaver], path.end)
    carry = seat, market.owner, first
    seat, owner, _ = jax.lax.while_loop(lambda c: c[2] != _FREE, hand_on, carry)
    price = market.price + jnp.where(path.passed, path.distance - path.far, 0.0)
    return _Market(seat=seat, owner=owner, price=price, round=market.round)


def _shortest_path(
    market: _Market, cost: jax.Array, alone: float | jax.Array, start: jax.Array
) -> _Search:
    n = cost.shape[1]

    def extend(s: _Search) -> _Search:
        reduced = cost[s.row] - market.price
        # What the row pays where it sits; the free one, the least it could.
        least = jnp.minimum(jnp.min(reduced), alone)
        paid = jnp.where(s.row == start, least, reduced[market.seat[s.row]])
        through = jnp.where(s.passed, jnp.inf, s.far + reduced - paid)
        before = jnp.where(through < s.distance, s.row, s.before)
        distance = jnp.minimum(s.distance, through)
        own_way = s.far + alone - paid
        leaver = jnp.where(own_way < s.leaving, s.row, s.leaver)
        leaving = jnp.minimum(s.leaving, own_way)
        ahead = jnp.where(s.passed, jnp.inf, distance)
        column = jnp.argmin(ahead).astype(jnp.int32)
        leaves = leaving < ahead[column]
        owner = market.owner[column]
        found = leaves | (owner == _FREE)
        return _Search(
            row=jnp.where(found, s.row, owner),
            far=jnp.minimum(leaving, ahead[column]),
            distance=distance,
            before=before,
            passed=s.passed | (~found & (jnp.arange(n) == column)),
            leaving=leaving,
            leaver=leaver,
            end=jnp.where(leaves, n, column),
            found=found,
        )

    first = _Search(
        row=start,
        far=jnp.zeros((), cost.dtype),
        distance=jnp.full(n, jnp.inf, cost.dtype),
        before=jnp.full(n, _FREE, jnp.int32),
        passed=jnp.zeros(n, bool),
        leaving=jnp.full((), jnp.inf, cost.dtype),
        leaver=start,
        end=jnp.full((), n, jnp.int32),
        found=jnp.zeros((), bool),
    )
    return jax.lax.while_loop(lambda s: ~s.found, extend, first)
