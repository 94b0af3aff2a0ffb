from pathlib import Path

import pytest

from moonseg_jax.structs import InputError
from moonseg_jax.train.scenes import Scene, hold_out, read_scenes
from tests.train.rooms import scene_info, tiny_config, write_room


def scenes(names):
    return [Scene(Path(f"{i}-{name}"), scene_info(name)) for i, name in enumerate(names)]


def names(split):
    return {scene.info.scene for scene in split}


def test_the_share_held_out_is_exact_and_disjoint():
    everything = scenes([f"room{i}" for i in range(20)])
    training, held = hold_out(everything, 0.25)
    assert len(held) == 5
    assert names(training) | names(held) == names(everything)
    assert not names(training) & names(held)


def test_the_split_depends_on_names_alone():
    some = [f"room{i}" for i in range(20)]
    assert names(hold_out(scenes(some), 0.25)[1]) == names(hold_out(scenes(some[::-1]), 0.25)[1])


def test_two_caches_of_a_scene_stay_together():
    training, held = hold_out(scenes([f"room{i % 10}" for i in range(20)]), 0.3)
    assert len(held) == 6
    assert not names(training) & names(held)


def test_nothing_and_at_least_one_are_held_out():
    three = scenes(["a", "b", "c"])
    assert hold_out(three, 0.0) == (three, [])
    assert len(hold_out(three, 0.01)[1]) == 1


@pytest.mark.parametrize(("count", "fraction"), [(1, 0.1), (4, 0.9), (4, 1.0)])
def test_holding_out_everything_is_refused(count, fraction):
    with pytest.raises(InputError, match=r"train\.eval_fraction"):
        hold_out(scenes([f"room{i}" for i in range(count)]), fraction)


def test_caches_of_different_backbones_are_refused(tmp_path):
    paths = [write_room(tmp_path / "a", 0, frames=1), write_room(tmp_path / "b", 0, frames=1, c3=8)]
    with pytest.raises(InputError, match="geometry channels 6 and 8"):
        read_scenes(paths, tiny_config().data)


def test_no_cache_is_refused():
    with pytest.raises(InputError, match="no cache"):
        read_scenes([], tiny_config().data)
