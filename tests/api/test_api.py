"""The Python API: its names, what it says, and that the command line says the same."""

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import moonseg_jax
from moonseg_cli.main import main
from moonseg_jax.models import load_weights, save_weights
from moonseg_jax.weights import FOLDER
from tests.online.conftest import without_masks
from tests.reference.box_room import BoxRoom

ROOT = Path(__file__).parents[2]
ROOM = BoxRoom()


class Frames:
    """The shape of what `segment` takes."""

    def __init__(self, *frames):
        self.info = ROOM.info
        self._frames = frames

    def frames(self):
        return iter(self._frames)


@pytest.fixture(scope="module")
def turn():
    """A segmenter after some frames, and what it said about each."""
    segmenter = moonseg_jax.Segmenter(ROOM.info, "none", voxel=0.1)
    return segmenter, [segmenter.step(ROOM.frame(i)) for i in range(8)]


def parameters(callable):
    return list(inspect.signature(callable).parameters)


def test_names_and_signatures_stay():
    assert set(moonseg_jax.__all__) == {
        "CacheReader", "Frame", "FrameResult", "InputError", "Instance", "LoadedCore", "SceneInfo",
        "SegmentedScene", "Segmenter", "load_core", "segment",
    }  # fmt: skip
    assert {name: callable(getattr(moonseg_jax, name)) for name in moonseg_jax.__all__}
    assert set(moonseg_jax.__all__) <= set(dir(moonseg_jax))
    assert parameters(moonseg_jax.segment) == ["frames", "weights"]
    assert parameters(moonseg_jax.load_core) == ["info", "weights", "change"]
    expected = ["info", "weights", "voxel", "keep_label_maps"]
    assert parameters(moonseg_jax.Segmenter) == expected
    assert parameters(moonseg_jax.Segmenter.step) == ["self", "frame"]
    assert parameters(moonseg_jax.Segmenter.instances) == ["self"]
    assert parameters(moonseg_jax.Instance) == [
        "id", "points", "box", "score", "query", "observations", "first_frame", "last_frame",
    ]  # fmt: skip
    with pytest.raises(AttributeError, match="no attribute 'Segmentor'"):
        moonseg_jax.Segmentor  # noqa: B018


def test_importing_it_imports_nothing_heavy():
    line = "import sys, moonseg_jax, bridges; print({'jax', 'numpy', 'torch'} & {*sys.modules})"
    done = [sys.executable, "-c", line]
    assert subprocess.check_output(done, cwd=ROOT, text=True) == "set()\n"


def test_a_step_says_where_each_mask_went_on_the_host(turn):
    _, results = turn
    known = set()
    for result in results:
        assert all(isinstance(x, np.ndarray) for x in (result.id_map, result.instance))
        new = set(result.new.tolist())
        assert not new & known
        known |= new
        assert set(result.seen.tolist()) == set(result.ids.tolist()) - {0} <= known
        ids = result.ids.tolist()
        assert result.merged.tolist() == [i for i in result.seen if ids.count(i) > 1]
        assert set(np.unique(result.id_map)) - {0} <= known
        assert len(known) == result.num_rows


def test_instances_are_those_of_the_steps(turn):
    segmenter, results = turn
    instances = segmenter.instances()
    seen = [set((r.instance[r.instance >= 0] + 1).tolist()) for r in results]
    frames_of = {id: [i for i, ids in enumerate(seen) if id in ids] for id in set().union(*seen)}
    often = [id for id, frames in frames_of.items() if len(frames) >= 2]
    assert [one.id for one in instances] == often and len(often) < len(frames_of)
    for one in instances:
        frames = frames_of[one.id]
        assert (one.observations, one.first_frame, one.last_frame) == (
            len(frames), frames[0], frames[-1],
        )  # fmt: skip
        assert one.query.shape == (ROOM.c3 + ROOM.c2,) and 0 < one.score <= 1
        # A voxel is 0.1 m; the box leaves out what is far from an instance's mean.
        if len(one.points):
            assert (one.points.mean(axis=0) > one.box[0] - 0.1).all()
            assert (one.points.mean(axis=0) < one.box[1] + 0.1).all()


def test_instances_and_scene_are_one(turn):
    segmenter, _ = turn
    scene, ours = segmenter.scene(), segmenter.instances()
    assert scene.online_ids.tolist() == [one.id for one in ours]
    for i, (one, other) in enumerate(zip(ours, scene.instances(), strict=True)):
        assert other.id == i + 1
        np.testing.assert_array_equal(one.points, scene.points[scene.instance == i + 1])
        np.testing.assert_array_equal(one.points, other.points)
    assert sum(len(one.points) for one in ours) == (scene.instance > 0).sum() > 0


def test_a_scene_is_not_changed_by_what_follows():
    segmenter = moonseg_jax.Segmenter(ROOM.info, "none")
    for i in range(2):
        segmenter.step(ROOM.frame(i))
    scene = segmenter.scene()
    before = [scene.queries.copy(), scene.boxes.copy()]
    segmenter.step(ROOM.frame(2))
    assert len(list(scene.label_maps())) == 2 and segmenter.num_frames == 3
    for array, kept in zip((scene.queries, scene.boxes), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_without_label_maps_all_else_is_the_same(turn):
    segmenter = moonseg_jax.Segmenter(ROOM.info, "none", voxel=0.1, keep_label_maps=False)
    for i in range(8):
        segmenter.step(ROOM.frame(i))
    scene, whole = segmenter.scene(), turn[0].scene()
    assert len(list(scene.label_maps())) == 0 and len(list(whole.label_maps())) == 8
    np.testing.assert_array_equal(scene.instance, whole.instance)


@pytest.mark.parametrize("frames", [(), (without_masks(ROOM.frame(0)),)])
def test_nothing_to_see(frames):
    scene = moonseg_jax.segment(Frames(*frames), "none")
    assert scene.num_instances == 0 and scene.instances() == []
    assert [labels.any() for labels in scene.label_maps()] == [False] * len(frames)


@pytest.mark.parametrize(
    ("field", "shape"),
    [("features_3d", (4, 6, 9)), ("features_2d", (2, 6, 5)), ("points", (8, 24, 3))],
)
def test_frames_of_another_width_or_size_are_refused(turn, field, shape):
    segmenter, _ = turn
    wrong = ROOM.frame(0).replace(**{field: np.zeros(shape, np.float16)})
    text = "x".join(map(str, shape))
    with pytest.raises(moonseg_jax.InputError, match=f"frame 8: its {field} are {text}"):
        segmenter.step(wrong)
    assert segmenter.num_frames == 8


def test_missing_state_attention_is_said(turn):
    wrong = ROOM.frame(0).replace(state_attention=None)
    with pytest.raises(moonseg_jax.InputError, match="state_attention are missing"):
        turn[0].step(wrong)


def test_tensors_of_a_bridge_are_taken(turn):
    frame = ROOM.frame(0)
    told = {name: torch.from_numpy(getattr(frame, name)) for name in ("features_2d", "points")}
    ours = moonseg_jax.Segmenter(ROOM.info, "none").step(frame.replace(**told))
    np.testing.assert_array_equal(ours.id_map, turn[1][0].id_map)


def test_weights(cached, tmp_path):
    info = moonseg_jax.CacheReader(cached).info
    shipped = moonseg_jax.load_core(info)
    assert shipped.origin == str(FOLDER / "classical.safetensors")
    (tmp_path / "weights.safetensors").write_bytes(Path(shipped.origin).read_bytes())
    assert moonseg_jax.load_core(info, tmp_path).config == shipped.config
    assert shipped.module.width == shipped.config.model.width
    with pytest.raises(moonseg_jax.InputError, match="elsewhere does not exist: give the workdir"):
        moonseg_jax.Segmenter(info, tmp_path / "elsewhere")
    other = replace(info, semantics=replace(info.semantics, channels=7))
    with pytest.raises(moonseg_jax.InputError, match="scene room: its semantics features"):
        moonseg_jax.Segmenter(other)
    with pytest.raises(moonseg_jax.InputError, match="no weights ship for box geometry"):
        moonseg_jax.Segmenter(ROOM.info)


def test_a_workdir_without_weights_names_where_a_sweeps_are(cached, tmp_path):
    (tmp_path / "members" / "0").mkdir(parents=True)
    with pytest.raises(moonseg_jax.InputError, match=r"weights\.safetensors does not .* members/"):
        moonseg_jax.load_core(moonseg_jax.CacheReader(cached).info, tmp_path)


def test_a_path_for_frames_is_answered_with_how_to_read_it(cached):
    with pytest.raises(moonseg_jax.InputError, match=rf"give CacheReader\('{cached}'\)"):
        moonseg_jax.segment(str(cached))


def test_weights_of_a_later_version(cached, tmp_path):
    _, params, told = load_weights(FOLDER / "classical.safetensors")
    recipe = told.extra["recipe"] | {"loss": {"later": 1.0}}
    header = {"model": told.model, "geometry": told.geometry, "semantics": told.semantics}
    file = tmp_path / "later.safetensors"
    save_weights(file, params, header | {"units": told.units, "recipe": recipe})
    info = moonseg_jax.CacheReader(cached).info
    with pytest.raises(moonseg_jax.InputError, match=r"another version .*later"):
        moonseg_jax.load_core(info, file)


def test_settings_are_those_of_the_core(cached):
    reader = moonseg_jax.CacheReader(cached)
    core = moonseg_jax.load_core(reader.info, "none")
    core.config.online.min_observations = 1
    scene = moonseg_jax.segment(reader, core)
    assert (scene.observations == 1).any()


def test_the_command_says_the_same(cached, tmp_path):
    assert main(["segment", f"--cache={cached}", f"--out={tmp_path}/result"]) == 0
    scene = moonseg_jax.segment(moonseg_jax.CacheReader(cached))
    with np.load(tmp_path / "result" / "instances.npz") as arrays:
        assert len(arrays["scores"]) == scene.num_instances > 0
        for name in arrays.files:
            np.testing.assert_array_equal(getattr(scene, name), arrays[name], err_msg=name)
    files = sorted((tmp_path / "result" / "frames").iterdir())
    for file, labels in zip(files, scene.label_maps(), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(file)), labels)
