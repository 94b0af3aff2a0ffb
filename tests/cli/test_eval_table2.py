"""The script of the ablation's table on a small recording."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from experiments.classical_core.thresholds import score
from experiments.table2 import choose, rows, run, seeds
from experiments.table2.in_memory import read_room
from moonseg_jax import load_core
from moonseg_jax.eval import EvalSettings, SceneFiles, SceneScore, bootstrap, count_overlaps
from moonseg_jax.weights import FOLDER
from tests.cli.predicted import write_predicted

MEMORY = FOLDER / "classical.safetensors"


@pytest.fixture
def data(pristine, tmp_path):
    """Flags that name the rendered room as a data set of one scene."""
    (tmp_path / "caches").mkdir()
    (tmp_path / "caches" / "room").symlink_to(pristine / "cache")
    return data_words(pristine, tmp_path, "caches")


def data_words(pristine, tmp_path, caches):
    (tmp_path / "list.txt").write_text("room\n")
    paths = [f"--caches={tmp_path}/{caches}", f"--ground-truth={pristine}", "--workers=1"]
    return [*paths, f"--scenes={tmp_path}/list.txt"]


def run_table(monkeypatch, out, *words):
    monkeypatch.setattr(sys, "argv", ["run", *map(str, words), f"--out={out}"])
    run.main()
    return json.loads((out / "table.json").read_text())


def query_width(result):
    with np.load(result / "instances.npz") as arrays:
        return arrays["queries"].shape[1]


def test_rows_are_run_or_named(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "fields.json").write_text('{"F2d": ["online.merge_threshold=0.5"]}')
    chosen = ["--rows", "F2d", "F2d and F3d", "+ refinement", "+ state token"]
    words = [*data, f"--memory={MEMORY}", *chosen, f"--fields={tmp_path}/fields.json"]
    table = run_table(monkeypatch, tmp_path / "out", *words)
    assert table["skipped"] == {
        "+ refinement": "no weights given (--refinement)",
        "+ state token": "the caches hold no state attention",
    }
    only, both = table["rows"]
    assert only["fields"] == ["model.sources=2d", "online.merge_threshold=0.5"]
    assert (only["paper"][0], only["step"], both["fields"]) == (7.2, None, [])
    # One scene is drawn again and again.
    assert both["interval"]["ap"] == pytest.approx([both["ap"]] * 2)
    assert both["step"] == pytest.approx([both["ap"] - only["ap"]] * 2)
    assert table["dataset"]["scenes"] == 1 and "aligned" not in table
    widths = [query_width(tmp_path / "out" / row / "room") for row in ("F2d", "F2d_and_F3d")]
    assert 0 < widths[0] < widths[1]
    record = json.loads((tmp_path / "out" / "F2d" / "room" / "result.json").read_text())
    assert record["config"]["model"]["sources"] == "2d"
    assert record["config"]["online"]["terms"] == "query,view"
    shown = (tmp_path / "out" / "table.md").read_text()
    assert "| F2d and F3d | " in shown and "| + refinement | left out: no weights" in shown
    assert shown in capsys.readouterr().out


def test_what_is_there_is_not_segmented_again(data, tmp_path, monkeypatch):
    words = [*data, "--rows", "F2d", "F3d"]
    first = run_table(monkeypatch, tmp_path / "out", *words)
    segmented = []

    def segment(reader, core):
        segmented.append(core.config.model.sources)
        return original(reader, core)

    original = rows.segment
    monkeypatch.setattr(rows, "segment", segment)
    assert run_table(monkeypatch, tmp_path / "out", *words) == first
    assert segmented == []
    (tmp_path / "fields.json").write_text('{"F3d": ["online.merge_threshold=0.5"]}')
    run_table(monkeypatch, tmp_path / "out", *words, f"--fields={tmp_path}/fields.json")
    assert segmented == ["3d"]


def test_predicted_geometry_is_scored_aligned_as_well(pristine, tmp_path, monkeypatch):
    write_predicted(pristine / "cache", tmp_path / "predicted" / "room")
    words = data_words(pristine, tmp_path, "predicted")
    trained = ["--memory", MEMORY, MEMORY, "--rows", "+ memory", "+ state token"]
    table = run_table(monkeypatch, tmp_path / "out", *words, *trained)
    memory, token = table["rows"]
    aligned = table["aligned"]["rows"]
    assert [row["row"] for row in aligned] == ["+ memory", "+ state token"]
    assert (memory["protocol"], aligned[0]["protocol"]) == ("gt", "sim3")
    assert aligned[0]["ap25"] == pytest.approx(memory["ap25"], abs=0.2)
    # Twice the same weights do not differ.
    assert len(token["trainings"]) == 2 and token["deviation"] == dict.fromkeys(seeds.APS, 0.0)
    for training, terms in (("memory/1", "query,view"), ("state_token/2", "query,view,state")):
        result = json.loads((tmp_path / "out" / training / "room" / "result.json").read_text())
        assert result["config"]["online"]["terms"] == terms
    shown = (tmp_path / "out" / "table.md").read_text()
    assert " ± 0.0 (" in shown and "means of up to 2 trainings" in shown
    assert "after a similarity" in shown and "protocol sim3" in shown


def scene_score(found):
    """A scene of two objects of 200 vertices, of which as many are found as told."""
    truth = np.repeat([1, 2], 200)
    table = count_overlaps(truth, np.where(truth <= found, truth, 0), np.ones(found))
    return SceneScore(table, {"checkpoint": "w", "protocol": "gt"})


def test_trainings_are_averaged_and_drawn_together_with_scenes():
    good, bad = [[scene_score(n) for n in found] for found in ((2, 2), (1, 1))]
    metrics = seeds.mean_metrics([good, bad], EvalSettings())
    assert [one["ap"] for one in metrics["trainings"]] == [1.0, 0.5]
    assert metrics["ap"] == 0.75 and len(metrics["scenes"]) == 4
    assert metrics["deviation"]["ap"] == pytest.approx(np.std([1.0, 0.5], ddof=1))
    draws = seeds.draw_ap([good, bad])["ap"]
    assert set(draws) == {0.5, 0.75, 1.0} and abs(draws.mean() - 0.75) < 0.02
    # Of one training the draws are those of its scenes.
    mixed = [scene_score(n) for n in (2, 1)]
    alone = bootstrap([score.overlaps for score in mixed], samples=seeds.SAMPLES)
    np.testing.assert_array_equal(seeds.draw_ap([mixed])["ap"], alone["ap"])


def test_thresholds_are_chosen_one_after_the_other(data, tmp_path, monkeypatch):
    tried = []

    def fake(rooms, core):
        online = core.config.online
        assert len(rooms) == 1 and core.config.model.sources == "3d"
        tried.append((online.merge_threshold, online.match_threshold))
        return {"ap": -abs(tried[-1][0] - 0.9) - abs(tried[-1][1] - 1.2)}

    monkeypatch.setattr(choose, "score", fake)
    (tmp_path / "best.json").write_text('{"F2d": ["online.merge_threshold=0.5"]}')
    words = [*data, "--rows", "F3d", "--merge", "0.8", "0.9", "--match", "1.0", "1.2"]
    monkeypatch.setattr(sys, "argv", ["choose", *words, f"--out={tmp_path}/best.json"])
    choose.main()
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["F3d"] == ["online.merge_threshold=0.9", "online.match_threshold=1.2"]
    assert best["F2d"] == ["online.merge_threshold=0.5"]
    assert tried == [(0.8, 1.4), (0.9, 1.4), (0.9, 1.0), (0.9, 1.2)]


def test_predicted_cameras_do_not_change_what_thresholds_are_chosen_by(pristine, tmp_path):
    """Rooms in memory are scored by measured cameras, as `moonseg eval` does."""
    predicted = write_predicted(pristine / "cache", tmp_path / "predicted")
    scene = SceneFiles("room", None, pristine / "room")
    room = read_room(scene, predicted, "onlineanyseg")
    measured = read_room(scene, pristine / "cache", "onlineanyseg")
    assert room.info == replace(measured.info, poses="predicted", units="scene", state_tokens=16)
    for one, other in zip(room.views, measured.views, strict=True):
        np.testing.assert_array_equal(one.T_world_from_cam, other.T_world_from_cam)
    assert score([room], load_core(room.info, "none"))["ap25"] > 0.5
