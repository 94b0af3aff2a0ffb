import numpy as np
import pytest
from plyfile import PlyData

from moonseg_jax.eval import evaluate, export_predictions
from moonseg_jax.eval.ground_truth import load_ground_truth
from moonseg_jax.structs import InputError
from tests.eval.conftest import perfect_scene


def test_npz_over_ground_truth_scores_as_the_result_itself(recording, tmp_path):
    out = tmp_path / "theirs" / "planes.npz"
    export_predictions(recording.result, out, "npz", ground_truth=recording.folder)
    ours = evaluate([recording.result], [recording.folder])
    theirs = evaluate([out], [recording.folder])
    for name in ("ap", "ap50", "ap25", "ranked"):
        assert theirs[name] == ours[name]
    with np.load(out) as data:
        assert data["pred_masks"].dtype == bool
        assert data["pred_masks"].shape == (len(data["points"]), 3)
        np.testing.assert_allclose(data["pred_score"], [0.9, 0.8, 0.7], rtol=1e-6)
        assert data["pred_classes"].tolist() == [1, 1, 1]


def test_npz_over_own_points(recording, tmp_path):
    export_predictions(recording.result, tmp_path / "own", "npz")
    with np.load(tmp_path / "own") as data:
        scene = perfect_scene()
        np.testing.assert_array_equal(data["points"], scene.points)
        np.testing.assert_array_equal(data["pred_masks"][:, 1], scene.instance == 2)


def test_scannet_format_parses_by_its_own_rules(recording, tmp_path):
    out = tmp_path / "benchmark"
    export_predictions(recording.result, out, "scannet", ground_truth=recording.folder)
    vertices = len(load_ground_truth(recording.folder).instance)
    lines = (out / "planes.txt").read_text().splitlines()
    assert len(lines) == 3
    for i, line in enumerate(lines):
        mask_file, label, score = line.split(" ")
        assert mask_file == f"predicted_masks/planes_{i:03d}.txt"
        mask = np.array((out / mask_file).read_text().splitlines(), np.int64)
        assert mask.shape == (vertices,)
        assert set(mask) == {0, 1}
        assert int(label) == 1
        assert float(score) == pytest.approx([0.9, 0.8, 0.7][i], abs=1e-6)
    with pytest.raises(InputError, match="benchmark exists and would be overwritten"):
        export_predictions(recording.result, out, "scannet", ground_truth=recording.folder)


def test_ply(recording, tmp_path):
    export_predictions(recording.result, tmp_path / "room.ply", "ply")
    vertex = PlyData.read(tmp_path / "room.ply")["vertex"]
    np.testing.assert_array_equal(vertex["instance"], perfect_scene().instance)


def test_bad_choices(recording, tmp_path):
    with pytest.raises(InputError, match="--format glb is unknown: choose from npz, scannet, ply"):
        export_predictions(recording.result, tmp_path / "a", "glb")
    with pytest.raises(InputError, match="is a folder: --out must name a file"):
        export_predictions(recording.result, tmp_path, "npz")
