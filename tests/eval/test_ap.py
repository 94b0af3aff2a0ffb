import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moonseg_jax.eval.ap import THRESHOLDS, average_precision, average_precision_at, match_scene
from moonseg_jax.eval.overlaps import SceneOverlaps, count_overlaps
from tests.eval.scenes import random_overlaps, random_scene

REFERENCE = json.loads(Path(__file__).with_name("reference_ap.json").read_text())
NAMES = ("ap", "ap50", "ap25")


def numbers(scenes: list[SceneOverlaps], rule: str = "constant") -> list[float]:
    values = average_precision(scenes, "nine", rule)
    return [values[name] for name in NAMES]


@pytest.mark.parametrize("case", REFERENCE["scannet"], ids=lambda case: f"{case['seeds'][0]}")
@pytest.mark.parametrize("rule", ["constant", "ranked"])
def test_numbers_of_scannets_own_evaluator(case, rule):
    scenes = [random_overlaps(seed) for seed in case["seeds"]]
    np.testing.assert_allclose(numbers(scenes, rule), case[rule], rtol=0, atol=1e-12)


def test_thresholds_are_nine_or_ten():
    np.testing.assert_allclose(THRESHOLDS["nine"], np.arange(50, 91, 5) / 100)
    np.testing.assert_allclose(THRESHOLDS["ten"], np.arange(50, 96, 5) / 100)
    scene = [random_overlaps(0)]
    ten = [average_precision_at(scene, t) for t in np.arange(50, 96, 5) / 100 + 1e-9]
    assert average_precision(scene, "ten")["ap"] == pytest.approx(np.mean(ten))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_order_of_vertices_does_not_matter(seed, order_seed):
    instance, masks, scores = random_scene(seed)
    order = np.random.default_rng(order_seed).permutation(len(instance))
    shuffled = count_overlaps(instance[order], masks[order], scores)
    assert numbers([shuffled], "ranked") == numbers([random_overlaps(seed)], "ranked")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_order_of_predictions_does_not_matter_from_half_up(seed, random):
    # Under 0.5 one prediction may match two instances, and then the order decides, as it does in
    # ScanNet's evaluator.
    instance, masks, scores = random_scene(seed)
    scores = scores + np.arange(len(scores)) * 1e-4
    order = np.array(random.sample(range(len(scores)), len(scores)))
    shuffled = count_overlaps(instance, masks[:, order], scores[order])
    given_order = count_overlaps(instance, masks, scores)
    for rule in ("constant", "ranked"):
        assert numbers([shuffled], rule)[:2] == pytest.approx(numbers([given_order], rule)[:2])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.25, 0.5, 0.7]))
def test_constant_score_ap_is_half_of_recall_times_one_plus_precision(seed, threshold):
    scene = random_overlaps(seed)
    correct, _, missed = match_scene(scene, threshold)
    hits = np.count_nonzero(correct)
    recall = hits / (hits + missed)
    precision = hits / len(correct) if len(correct) else 0.0
    expected = recall * (1 + precision) / 2
    assert average_precision_at([scene], threshold) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(100, 400), min_size=1, max_size=12), st.data())
def test_perfect_predictions_score_one_under_any_scores(sizes, data):
    instance = np.repeat(np.arange(len(sizes)) + 1, sizes)
    scores = data.draw(st.lists(st.floats(0, 1), min_size=len(sizes), max_size=len(sizes)))
    order = np.array(data.draw(st.permutations(range(len(sizes)))))
    masks = instance[:, None] == order + 1
    for rule in ("constant", "ranked"):
        assert numbers([count_overlaps(instance, masks, scores)], rule) == pytest.approx([1, 1, 1])


def test_no_predictions_score_zero_and_no_ground_truth_is_nan():
    instance = np.ones(200, int)
    nothing = count_overlaps(instance, np.zeros((200, 0), bool), np.zeros(0))
    assert numbers([nothing]) == [0, 0, 0]
    only_void = count_overlaps(np.zeros(200, int), np.ones(200, int), np.ones(1))
    assert np.isnan(numbers([only_void])).all()
    assert np.isnan(numbers([])).all()


def test_label_map_and_masks_give_the_same_table():
    instance, masks, scores = random_scene(3)
    labels = np.where(masks.any(1), masks.argmax(1) + 1, 0)
    disjoint = labels[:, None] == np.arange(masks.shape[1]) + 1
    a, b = count_overlaps(instance, labels, scores), count_overlaps(instance, disjoint, scores)
    for field in ("gt_sizes", "pred_sizes", "scores", "intersections", "void"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))


def test_a_match_needs_more_than_the_threshold():
    instance = np.repeat([1, 0], [200, 200])
    exactly_half = np.zeros(400, int)
    exactly_half[:100] = 1  # IoU 100/200.
    scene = count_overlaps(instance, exactly_half, np.ones(1))
    assert average_precision_at([scene], 0.5) == 0
    assert average_precision_at([scene], 0.5 - 1e-9) == 1


def test_under_100_vertices_nothing_counts():
    instance = np.repeat([1, 2], [99, 100])
    perfect = count_overlaps(instance, instance, np.ones(2))
    assert numbers([perfect]) == [1, 1, 1]
    assert len(perfect.pred_sizes) == 1
    only_small = count_overlaps(np.ones(99, int), np.ones(99, int), np.ones(1))
    assert np.isnan(numbers([only_small])).all()


@pytest.mark.parametrize(("void", "counts"), [(60, False), (50, True), (40, True)])
def test_unmatched_prediction_is_ignored_when_mostly_void(void, counts):
    # Instance 1 is matched by prediction 1; prediction 2 lies on void and on instance 2's corner.
    instance = np.repeat([1, 0, 2], [200, void, 400])
    prediction = np.repeat([1, 2, 0], [200, 100, instance.size - 300])
    scene = count_overlaps(instance, prediction, np.ones(2))
    correct, _, missed = match_scene(scene, 0.5)
    assert (len(correct), missed) == (1 + counts, 1)


def test_a_small_instance_is_ignored_like_void():
    instance = np.repeat([1, 2], [60, 340])
    prediction = np.repeat([1, 0], [100, 300])
    scene = count_overlaps(instance, prediction, np.ones(1))
    assert len(match_scene(scene, 0.5)[0]) == 0
    assert len(match_scene(scene, 0.61)[0]) == 1


def test_second_match_is_a_false_positive_with_the_lower_score():
    instance = np.ones(300, int)
    masks = np.stack([np.arange(300) < 200, np.arange(300) >= 20], axis=-1)
    scene = count_overlaps(instance, masks, np.array([0.3, 0.9]))
    correct, scores, missed = match_scene(scene, 0.5, "ranked")
    assert sorted(zip(correct.tolist(), scores.tolist(), strict=True)) == [
        (False, 0.3),
        (True, 0.9),
    ]
    assert missed == 0


def test_scenes_are_pooled_not_averaged():
    easy = count_overlaps(np.ones(200, int), np.ones(200, int), np.ones(1))
    hard = count_overlaps(np.repeat([1, 2, 3], 200), np.zeros(600, int), np.zeros(0))
    assert average_precision_at([easy, hard], 0.5) == pytest.approx(1 / 4)
