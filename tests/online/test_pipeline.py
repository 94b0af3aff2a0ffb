import jax
import jax.numpy as jnp
import numpy as np
import pytest

from moonseg_jax.online.pipeline import FEW_IN_VIEW, MANY_IN_VIEW, over_visible
from moonseg_jax.structs import pack_masks, unpack_masks
from tests.online.conftest import make_core, make_step, without_masks, worsen
from tests.reference import online as twin
from tests.reference.box_room import BoxRoom
from tests.reference.parity import assert_agree, precision, torch_params

BAND = {"float64": 1e-9, "float32": 1e-4}
BOX = {"merge_rule": "components", "terms": "query,state,box"}
# At so low a threshold masks are rivals for a row.
VIEW = {"merge_rule": "greedy", "terms": "query,state,view", "match_threshold": 1.2}


def run_both(config, room, core, frames, dtype):
    """Yields per frame ours, the twin's, whether a score of the twin lies in the band, and whether
    the other rule of assignment would match otherwise."""
    step, state = make_step(config, room, core)
    step = jax.jit(step)
    other = twin.Online(
        core=twin.TorchCore(torch_params(core[1]), config.model, config.model.width),
        config=config,
        image_size=room.image_size,
        state_tokens=room.state_tokens,
    )
    terms = len(config.online.terms.split(",")) - (not room.state_tokens)
    for frame in frames:
        state, result = step(state, frame)
        instance, similarity, id_map, score = other.step(frame)
        threshold = config.online.match_threshold * terms / 3
        doubtful = np.abs(score - threshold).min(initial=1) < BAND[dtype]
        rules = (twin.assign(score, score >= threshold, threshold, r) for r in ("score", "count"))
        contested = not np.array_equal(*rules)
        yield state, result, other, (instance, similarity, id_map), doubtful, contested


def assert_same_memory(state, other, tolerance):
    count = len(other.rows)
    bank = jax.tree.map(lambda x: np.asarray(x)[:count], state.bank)
    assert int(state.num_rows) == count
    for ours, name in ((bank.queries, "query"), (bank.tokens, "token")):
        assert_agree(ours, np.array([getattr(row, name) for row in other.rows]), tolerance, name)
    # A variance from two sums, where the twin has two passes: half the digits.
    np.testing.assert_allclose(
        bank.boxes, np.array([row.box for row in other.rows]), atol=max(tolerance**0.5, 1e-4) / 4
    )
    for name in ("observations", "first_frame", "last_frame"):
        assert list(getattr(bank, name)) == [getattr(row, name) for row in other.rows]
    assert_agree(bank.score_sum, np.array([row.score_sum for row in other.rows]), tolerance)
    keys = int(state.keys.count)
    points, rows = np.asarray(state.keys.points)[:keys], np.asarray(state.keys.rows)[:keys]
    voxel = points.dtype.type(other.config.memory.voxel)
    cells = np.floor(points / voxel).astype(int)
    ours = {(tuple(map(int, c)), int(r)): p for c, r, p in zip(cells, rows, points, strict=True)}
    # A patch mean on the edge of a voxel may fall on either side.
    different = len(ours.keys() ^ other.keys.keys())
    assert different <= 0.01 * len(ours)
    for key in ours.keys() & other.keys.keys():
        np.testing.assert_allclose(ours[key], other.keys[key], atol=100 * tolerance)


@pytest.mark.parametrize(
    "dtype, tokens, online",
    [
        ("float64", 7, BOX),
        ("float32", 7, BOX),
        ("float64", 0, VIEW | {"assignment": "score"}),
        ("float64", 0, VIEW | {"assignment": "count"}),
    ],
)
def test_sequence_matches_the_twin(config, dtype, tokens, online):
    config.online.update(online)
    with precision(dtype) as tolerance:
        room = BoxRoom(dtype=np.dtype(dtype).type, state_tokens=tokens, frames_per_turn=9)
        core = make_core(config, room, dtype)
        frames = [worsen(room.frame(i), i) for i in range(12)]
        frames.insert(5, without_masks(room.frame(5)))
        compared = merged = matched = contested = 0
        for state, result, other, expected, doubtful, rule_matters in run_both(
            config, room, core, frames, dtype
        ):
            instance, similarity, id_map = expected
            if doubtful and not np.array_equal(result.instance, instance):
                break
            compared += 1
            np.testing.assert_array_equal(result.instance, instance)
            np.testing.assert_array_equal(result.id_map, id_map)
            assert_agree(result.similarity, similarity, tolerance, "similarity")
            assert_same_memory(state, other, tolerance)
            merged += len(instance[instance >= 0]) - len(set(instance[instance >= 0]))
            matched += (similarity > 0).sum()
            contested += rule_matters
        # The comparison is worth something: it went on to the end, with merges and matches.
        assert compared >= 9
        assert merged > 5
        assert matched > 20
        assert contested or online is BOX


def test_a_frame_without_masks_changes_the_counter_only(loop, room):
    step, state = loop
    state, _ = step(state, room.frame(0))
    after, result = step(state, without_masks(room.frame(1)))
    assert int(after.frame) == int(state.frame) + 1
    for old, new in zip(
        jax.tree.leaves(state), jax.tree.leaves(after.replace(frame=state.frame)), strict=True
    ):
        np.testing.assert_array_equal(old, new)
    assert (np.asarray(result.instance) == -1).all()
    assert not np.asarray(result.id_map).any()
    assert not np.asarray(result.is_new).any()


def test_a_frame_without_geometry_starts_instances_without_keys(loop, room):
    frame = room.frame(0)
    frame = frame.replace(points=np.full_like(frame.points, np.nan))
    step, state = loop
    state, result = step(state, frame)
    assert int(result.num_keys) == 0
    assert int(result.num_rows) > 0
    assert np.isfinite(state.bank.queries).all()
    again, _ = step(state, room.frame(0))
    assert np.isfinite(again.bank.queries).all()


def test_order_of_masks_does_not_matter(loop, room):
    step, plain = loop
    shuffled = plain
    rng = np.random.default_rng(0)
    for index in range(10):
        frame = room.frame(index)
        order = rng.permutation(len(frame.mask_valid))
        masks = np.asarray(unpack_masks(frame.masks))
        other = frame.replace(
            masks=pack_masks(masks[order]),
            mask_valid=frame.mask_valid[order],
            mask_scores=frame.mask_scores[order],
        )
        plain, one = step(plain, frame)
        shuffled, two = step(shuffled, other)
        ids = (np.asarray(result.id_map).ravel().tolist() for result in (one, two))
        pairs = set(zip(*ids, strict=True))
        # Rows may be numbered differently; the pixels that share one do not change.
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert int(one.num_rows) == int(two.num_rows)
        assert int(one.num_keys) == int(two.num_keys)


@pytest.mark.parametrize("capacity", [600, 2 * MANY_IN_VIEW + 100])
@pytest.mark.parametrize("share", [0, 3, FEW_IN_VIEW, FEW_IN_VIEW + 1, 600, MANY_IN_VIEW + 1, 2100])
def test_context_is_the_visible_rows_however_many(capacity, share):
    count = min(share, capacity)
    rng = np.random.default_rng(count)
    rows, visible = jnp.asarray(rng.normal(size=(capacity, 4))), np.zeros(capacity, bool)
    visible[rng.permutation(capacity)[:count]] = True

    def refined(context, in_view, piece):
        # Pieces fit, and what is behind the visible ones may be left out.
        assert piece is None or len(context) % piece == 0
        return jnp.sum(jnp.where(in_view[:, None], jnp.exp(context), 0.0), axis=0)

    expected = np.exp(np.asarray(rows))[visible].sum(axis=0)
    told = jax.jit(lambda r, v: over_visible(refined, r, v))(rows, jnp.asarray(visible))
    np.testing.assert_allclose(told, expected, rtol=1e-5)
