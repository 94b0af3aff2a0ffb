"""Protocol B with true parts of the geometry in place of the predicted ones."""

import json
import sys

import numpy as np
import pytest

from bridges.backbones.cut3r import Cut3r
from experiments.table2 import geometry, geometry_rows, geometry_scene
from moonseg_cli.segment import segment_cache
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import SceneFiles
from moonseg_jax.eval.align import align_cameras
from tests.cli.predicted import write_predicted

SCALE = 0.5  # Of the predicted world.


@pytest.fixture
def predicted(pristine, tmp_path, monkeypatch):
    """A result and its cache of a perfect prediction, in a world of its own."""
    cache = write_predicted(pristine / "cache", tmp_path / "caches" / "room", scale=SCALE)
    segment_cache(cache, tmp_path / "results" / "room", "none")
    reader = CacheReader(pristine / "cache")
    own = []
    for frame in reader.frames():
        T = frame.T_world_from_cam.astype(np.float64)
        own.append((frame.points - T[:3, 3]) @ T[:3, :3])
    reader.close()
    monkeypatch.setattr(geometry, "own_points", lambda *_: SCALE * np.stack(own))
    monkeypatch.setattr(Cut3r, "from_checkpoint", lambda *_: None)
    return cache


def test_perfect_predictions_are_as_good_as_the_truth(predicted, pristine, tmp_path, monkeypatch):
    (tmp_path / "list.txt").write_text("room\n")
    words = [f"--caches={tmp_path}/caches", f"--results={tmp_path}/results"]
    words += [f"--ground-truth={pristine}", f"--scenes={tmp_path}/list.txt", "--weights=w"]
    monkeypatch.setattr(sys, "argv", ["geometry", *words, f"--out={tmp_path}/out"])
    geometry.main()
    rows = {r["row"]: r for r in json.loads((tmp_path / "out" / "geometry.json").read_text())}
    best = rows[geometry_rows.ALL_TRUE]
    assert best["error"] == 0 and best["true"]["ap50"] > 0.8
    for name in (geometry_rows.AS_IT_IS, f"{geometry_rows.ROTATIONS}: as it is"):
        assert rows[name]["error"] < 0.01
        assert rows[name]["true"]["ap50"] == pytest.approx(best["true"]["ap50"], abs=0.1)
    # Without its scale a prediction is worth nothing, and each frame's median gives it back.
    assert rows["predicted depth, true poses"]["error"] > 0.3
    assert rows["the same, each frame's median depth true"]["error"] < 0.01


def test_cameras_repair_what_their_centres_tell_wrong(predicted, pristine):
    """As where a path is short: the similarity is turned about the first camera."""
    result = predicted.parent.parent / "results" / "room"
    scene = SceneFiles("room", result, pristine / "room")
    seen = geometry_scene.read_sequence(scene, predicted, geometry.own_points)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    turned = geometry_scene.Sequence(
        **vars(seen) | {"T": turn @ seen.T, "world": seen.world @ turn[:3, :3].T}
    )
    exact = geometry_rows.moved(seen.T_true, seen.true)
    by_cameras = align_cameras(turned.T, turned.T_true, "room").apply(turned.world)
    assert np.nanmedian(np.abs(by_cameras - exact)) < 0.01
    mended = geometry_rows.by_points(turned.world, exact)
    assert np.nanmedian(np.abs(mended - exact)) < 0.01 < np.nanmedian(np.abs(turned.world - exact))


def test_rims_are_taken_away():
    depth = np.ones((1, 4, 6))
    depth[:, :, 3:] = 2.0
    kept = geometry_rows.without_rims(np.ones((1, 4, 6, 3)), depth)
    assert (
        np.isnan(kept[..., 0]).any(axis=(0, 1)).tolist() == [False] * 2 + [True] * 2 + [False] * 2
    )
