import numpy as np
import pytest

from moonseg_jax.eval import average_precision, bootstrap, interval
from moonseg_jax.eval.overlaps import SceneOverlaps, count_overlaps
from tests.eval.scenes import random_overlaps

NAMES = ("ap", "ap50", "ap25")


@pytest.fixture(scope="module")
def scenes():
    return [random_overlaps(seed) for seed in range(8)]


@pytest.mark.parametrize("thresholds", ["nine", "ten"])
def test_a_draw_is_the_pooled_ap_of_the_scenes_drawn(scenes, thresholds):
    drawn = np.random.default_rng(3).multinomial(8, np.full(8, 1 / 8), size=20)
    draws = bootstrap(scenes, thresholds, samples=20, seed=3)
    for i, counts in enumerate(drawn):
        again = [scene for scene, count in zip(scenes, counts, strict=True) for _ in range(count)]
        expected = average_precision(again, thresholds)
        assert [draws[n][i] for n in NAMES] == pytest.approx([expected[n] for n in NAMES])


def test_one_scene_has_no_spread(scenes):
    low, high = interval(bootstrap(scenes[:1], samples=10)["ap"])
    assert low == high == pytest.approx(average_precision(scenes[:1])["ap"])


def test_an_interval_holds_the_number_and_narrows_with_scenes(scenes):
    few, many = (interval(bootstrap(scenes * n, samples=500)["ap"]) for n in (1, 16))
    ap = average_precision(scenes)["ap"]
    assert few[0] < many[0] < ap < many[1] < few[1]


def test_draws_of_two_methods_are_paired(scenes):
    same = bootstrap(scenes, samples=50)["ap"] - bootstrap(scenes, samples=50)["ap"]
    assert not same.any()


def test_draws_without_predictions_and_without_ground_truth(scenes):
    nothing = count_overlaps(np.repeat([1, 2], 200), np.zeros(400, int), np.zeros(0))
    assert bootstrap([nothing], samples=3)["ap"].tolist() == [0, 0, 0]
    void = count_overlaps(np.zeros(400, int), np.ones(400, int), np.ones(1))
    draws = bootstrap([void, scenes[0]], samples=40, seed=1)["ap25"]
    assert np.isnan(draws).any() and np.isfinite(interval(draws)).all()
    assert isinstance(void, SceneOverlaps)
