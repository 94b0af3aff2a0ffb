"""What stands in which kind of room: living rooms, offices, bedrooms and meeting rooms."""

import numpy as np

from moonseg_jax.rooms import fixtures, furniture, objects, seats
from moonseg_jax.rooms.placement import Builder, FloorPlan, Placed

_ON_TABLES: tuple[Builder, ...] = (
    objects.book,
    objects.book,
    objects.open_book,
    objects.cup,
    objects.cup,
    objects.bottle,
    objects.vase,
    objects.bowl,
    objects.plate,
    objects.laptop,
    objects.table_lamp,
    objects.carton,
    objects.carton,
    objects.ball,
    objects.remote,
    objects.speaker,
    objects.small_plant,
    objects.standing_book,
)
_ON_FLOOR: tuple[Builder, ...] = (
    objects.bin_,
    objects.big_ball,
    objects.big_carton,
    objects.floor_vase,
    furniture.big_plant,
    furniture.floor_lamp,
)
_AT_WALLS: tuple[Builder, ...] = (
    furniture.shelf,
    furniture.cabinet,
    furniture.low_board,
    seats.bench,
)
_MOST_FLOOR = 0.42  # Of the floor may be taken: the rest is for walking.


def furnish(plan: FloorPlan, instances: int) -> None:
    """Fills an empty plan with ``instances`` objects, fewer where there is no room for more."""
    rng = plan.rng
    plan.on_wall(fixtures.door, (0.0, 0.0), part_of_room=True)
    for _ in range(int(rng.integers(0, 3))):
        plan.on_wall(fixtures.window, (0.8, 1.1), part_of_room=True)
    theme = rng.choice(len(_THEMES), p=_SHARES)
    _THEMES[theme](plan, instances)
    _some(plan, _AT_WALLS, min(instances - 2, round(instances * 0.4)), wall=True)
    for _ in range(int(rng.integers(1, 4))):
        if plan.count < instances - 1:
            plan.on_wall(
                fixtures.picture if rng.random() < 0.85 else fixtures.wall_clock, (1.1, 1.6)
            )
    _some(plan, _ON_FLOOR, plan.count + int(rng.integers(1, 4)), wall=rng.random() < 0.5)
    _clutter(plan, instances)


def _some(plan: FloorPlan, builders: tuple[Builder, ...], until: int, wall: bool) -> None:
    for _ in range(8):
        if plan.count >= until or plan.covered() > _MOST_FLOOR:
            return
        build = builders[plan.rng.integers(len(builders))]
        if wall:
            plan.against_wall(build, gap=0.05)
        else:
            plan.in_the_open(build, margin=0.15)


def _clutter(plan: FloorPlan, instances: int) -> None:
    """Small things on every surface, some of them twins, until there are enough instances."""
    hosts = [placed for placed in plan.placed if placed.item.supports]
    for _ in range(8 * instances):
        if plan.count >= instances:
            return
        if not hosts or plan.rng.random() < 0.1:
            plan.in_the_open(_ON_FLOOR[plan.rng.integers(3)], margin=0.15)
            continue
        build = _ON_TABLES[plan.rng.integers(len(_ON_TABLES))]
        twins = 2 if plan.rng.random() < 0.2 else 1
        for again in [_twin(build, plan.rng)] * min(twins, instances - plan.count):
            plan.on_support(again, hosts)


def _twin(build: Builder, rng: np.random.Generator) -> Builder:
    """A builder of the same thing every time."""
    seed = int(rng.integers(2**31))
    return lambda _: build(np.random.default_rng(seed))


def _living(plan: FloorPlan, instances: int) -> None:
    rng = plan.rng
    suite = int(rng.integers(2**31))
    sofa = plan.against_wall(
        lambda _: seats.sofa(np.random.default_rng(suite)), rng.uniform(0, 0.2)
    )
    if sofa is None:
        return
    table = furniture.coffee_table(rng)
    front = (sofa.item.size[1] + table.size[1]) / 2 + rng.uniform(0.3, 0.5)
    middle = plan.beside(sofa, table, (rng.normal(0, 0.15), front), rng.normal(0, 0.05))
    if rng.random() < 0.4:
        centre = sofa.at[:2] if middle is None else middle.at[:2]
        plan.on_floor(furniture.rug(rng), centre * 0.9, sofa.yaw)
    for side in (-1, 1):
        companion = furniture.side_table(rng) if rng.random() < 0.6 else furniture.floor_lamp(rng)
        x = side * ((sofa.item.size[0] + companion.size[0]) / 2 + 0.06)
        back = (companion.size[1] - sofa.item.size[1]) / 2
        if rng.random() < 0.6:
            plan.beside(sofa, companion, (x, back), 0.0)
    if middle is not None and rng.random() < 0.7:
        seat = seats.sofa(np.random.default_rng(suite), seats=1)
        side = rng.choice([-1, 1])
        x = side * ((middle.item.size[0] + seat.size[1]) / 2 + 0.45)
        plan.beside(middle, seat, (x, rng.normal(0, 0.1)), side * np.pi / 2 + rng.normal(0, 0.2))
    _television(plan)


def _television(plan: FloorPlan) -> None:
    board = plan.against_wall(furniture.low_board)
    if board is not None:
        plan.on_support(objects.television, [board])


def _meeting(plan: FloorPlan, instances: int) -> None:
    rng = plan.rng
    long = (1.2, min(2.6, plan.size[0] - 2.4))
    table = plan.in_the_open(lambda r: furniture.table(r, long, (0.8, 1.1)), margin=0.8)
    if table is not None:
        _chairs(plan, table, min(6, max(2, instances // 3)))
    if rng.random() < 0.5:
        _television(plan)
    if rng.random() < 0.4:
        plan.against_wall(seats.sofa)


def _chairs(plan: FloorPlan, table: Placed, count: int) -> None:
    """Equal chairs along the two long sides, more or less pushed in."""
    rng = plan.rng
    same = _twin(seats.chair, rng)
    w, d, _ = table.item.size
    places = max(1, int(w / 0.65))
    slots = [(x, side) for x in range(places) for side in (-1, 1)]
    for index in rng.permutation(len(slots))[:count]:
        x, side = slots[index]
        seat = same(rng)
        offset = ((x + 0.5) / places * w - w / 2) * 0.85 + rng.normal(0, 0.03)
        out = d / 2 + seat.size[1] * rng.uniform(0.1, 0.75)
        turn = (np.pi if side > 0 else 0.0) + rng.normal(0, 0.15)
        plan.beside(table, seat, (offset, side * out), turn, tuck=True)


def _office(plan: FloorPlan, instances: int) -> None:
    rng = plan.rng
    same_desk, same_chair = _twin(furniture.desk, rng), _twin(seats.chair, rng)
    for _ in range(int(rng.integers(1, 4 if instances > 12 else 2))):
        desk = plan.against_wall(same_desk)
        if desk is None:
            continue
        seat = same_chair(rng)
        out = (desk.item.size[1] + seat.size[1]) / 2 + rng.uniform(-0.25, 0.2)
        turn = np.pi + rng.normal(0, 0.5)
        plan.beside(desk, seat, (rng.normal(0, 0.1), out), turn, tuck=True)
        if rng.random() < 0.7:
            plan.on_support(objects.monitor, [desk])


def _bedroom(plan: FloorPlan, instances: int) -> None:
    rng = plan.rng
    bed = plan.against_wall(seats.bed)
    if bed is None:
        return
    same = _twin(furniture.nightstand, rng)
    for side in (-1, 1):
        stand = same(rng)
        x = side * ((bed.item.size[0] + stand.size[0]) / 2 + 0.05)
        plan.beside(bed, stand, (x, (stand.size[1] - bed.item.size[1]) / 2), 0.0)
    if rng.random() < 0.7:
        plan.against_wall(furniture.wardrobe)
    if rng.random() < 0.5:
        _office(plan, 8)


_THEMES = (_living, _meeting, _office, _bedroom)
_SHARES = (0.35, 0.25, 0.2, 0.2)
