"""The script of the ablation's table on a small recording."""

import json
import sys

import numpy as np
import pytest

from experiments.table2 import choose, run
from moonseg_jax.weights import FOLDER


@pytest.fixture
def data(pristine, tmp_path):
    """Flags that name the rendered room as a data set of one scene."""
    (tmp_path / "caches").mkdir()
    (tmp_path / "caches" / "room").symlink_to(pristine / "cache")
    (tmp_path / "list.txt").write_text("room\n")
    paths = [f"--caches={tmp_path}/caches", f"--ground-truth={pristine}", "--workers=1"]
    return [*paths, f"--scenes={tmp_path}/list.txt"]


def query_width(result):
    with np.load(result / "instances.npz") as arrays:
        return arrays["queries"].shape[1]


def test_rows_are_run_or_named(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "fields.json").write_text('{"F2d": ["online.merge_threshold=0.5"]}')
    weights = f"--memory={FOLDER}/classical.safetensors"
    rows = ["--rows", "F2d", "F2d and F3d", "+ refinement", "+ state token"]
    words = [*data, weights, *rows, f"--fields={tmp_path}/fields.json", f"--out={tmp_path}/out"]
    monkeypatch.setattr(sys, "argv", ["run", *words])
    run.main()
    table = json.loads((tmp_path / "out" / "table.json").read_text())
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
    assert table["dataset"]["scenes"] == 1
    widths = [query_width(tmp_path / "out" / row / "room") for row in ("F2d", "F2d_and_F3d")]
    assert 0 < widths[0] < widths[1]
    record = json.loads((tmp_path / "out" / "F2d" / "room" / "result.json").read_text())
    assert record["config"]["model"]["sources"] == "2d"
    assert record["config"]["online"]["terms"] == "query,view"
    shown = (tmp_path / "out" / "table.md").read_text()
    assert "| F2d and F3d | " in shown and "| + refinement | left out: no weights" in shown
    assert shown in capsys.readouterr().out


def test_thresholds_are_chosen_one_after_the_other(data, tmp_path, monkeypatch):
    class Score:
        def __init__(self, fields):
            self.fields = fields

    def ap(scores, _):
        merge, match = (float(field.split("=")[1]) for field in scores[0].fields)
        return {"ap": -abs(merge - 0.9) - abs(match - 1.2)}

    monkeypatch.setattr(choose, "run_row", lambda row, args, dataset, f, out: [Score(f)])
    monkeypatch.setattr(choose, "pool_scores", ap)
    words = [*data, "--rows", "F3d", f"--out={tmp_path}/best.json"]
    monkeypatch.setattr(sys, "argv", ["choose", *words])
    choose.main()
    best = json.loads((tmp_path / "best.json").read_text())
    assert best == {"F3d": ["online.merge_threshold=0.9", "online.match_threshold=1.2"]}
