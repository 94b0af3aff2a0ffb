"""The tables' commands on ScanNet and SceneNN in little, from the data sets' own files on."""

import json
import sys

import numpy as np
import pytest

from experiments.dataset import run_script
from experiments.table1 import run as table1
from experiments.table2 import run as table2
from moonseg_cli.main import main
from tests.eval.trees import SCANNET


@pytest.fixture(params=["scannet200", "scenenn"])
def words(request):
    """Of either data set: which it is, where it lies, and an empty folder."""
    scannet = request.param == "scannet200"
    root = request.getfixturevalue("scannet" if scannet else "scenenn")
    return data_words(root, request.param, request.getfixturevalue("tmp_path"))


def data_words(root, protocol, out, caches="caches"):
    scannet = protocol == "scannet200"
    return [
        f"--protocol={protocol}",
        f"--caches={root}/{caches}",
        f"--ground-truth={root}/{'scans' if scannet else 'scenenn'}",
        f"--scenes={root}/{'gt/scannetv2_val.txt' if scannet else 'two.txt'}",
        f"--out={out}/out",
        "--workers=1",
    ]


def table_at(folder):
    out = folder / "out"
    return (out / "table.md").read_text(), json.loads((out / "table.json").read_text())


def line_of(text, title):
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_table_1_of_either_data_set(words, tmp_path):
    table1.main([*words, "--methods", "ours", "sam3d", "--turns=2"])
    text, table = table_at(tmp_path)
    row = table["rows"]["ours"]
    assert len(row["scenes"]) == 2 and row["ap25"] > 0.5 and row["ms_per_frame"] > 0
    scannet = table["dataset"]["protocol"] == "scannet200"
    papers = ["16.7 / 33.3 / 50.0", "55"] if scannet else ["14.3 / 31.4 / 48.4", "55"]
    assert line_of(text, "ours, trained core")[-2:] == papers
    papers = ["9.6 / 24.8 / 49.6", "125"] if scannet else ["9.1 / 21.3 / 43.4", "125"]
    assert line_of(text, "SAM3D")[-2:] == papers
    for said in ("gt mode onlineanyseg", "within 0.04 m", "stride 1", "2 scenes (",
                 "not comparable with the paper: 2 scenes, not"):  # fmt: skip
        assert said in text


def test_table_2_of_either_data_set(words, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run", *words, "--rows", "F2d and F3d"])
    table2.main()
    text, table = table_at(tmp_path)
    assert len(table["rows"][0]["scenes"]) == 2 and table["rows"][0]["ap25"] > 0.5
    assert line_of(text, "F2d and F3d")[-1] == "8.1 / 19.7 / 42.3"
    assert "gt mode onlineanyseg" in text and "2 scenes (" in text


def test_embodied_sams_masks_make_a_row(scannet, tmp_path):
    """As the lines in table 1's README write them: from masks over the mesh's vertices."""
    (tmp_path / "esam").mkdir()
    for scene in SCANNET:
        labels = np.loadtxt(scannet / "gt" / f"{scene}.txt", int)
        objects = np.unique(labels[labels >= 2000])
        pts_instance_mask = [labels == objects[:, None]]  # [n N], of one scene.
        np.savez_compressed(
            tmp_path / "esam" / f"{scene}.npz",
            pred_masks=pts_instance_mask[0].T,
            pred_score=np.ones(len(objects), np.float32),
            pred_classes=np.zeros(len(objects), int),
        )
    words = data_words(scannet, "scannet200", tmp_path)
    table1.main([*words, "--methods", "--imported", f"EmbodiedSAM={tmp_path}/esam"])
    cells = line_of(table_at(tmp_path)[0], "EmbodiedSAM")
    assert cells == [
        "EmbodiedSAM", *["100.0"] * 4, *["-"] * 4, "28.8 / 42.7 / 54.2", "80",
    ]  # fmt: skip
    assert (
        "imported, not run here: EmbodiedSAM (the masks came on the vertices)"
        in (tmp_path / "out" / "table.md").read_text()
    )


def test_predicted_geometry_makes_the_monocular_variant(scannet, found_weights, tmp_path):
    scene, source = SCANNET[0], scannet / "scans" / SCANNET[0]
    backbones = ("--rfm=cut3r", "--semantic=dinov3", f"--masks={scannet}/masks/{scene}")
    cache = f"--out={tmp_path}/caches/{scene}"
    assert main(["cache", f"--source={source}", *backbones, cache]) == 0
    (tmp_path / "one.txt").write_text(scene)
    words = [
        "--protocol=scannet200",
        f"--caches={tmp_path}/caches",
        f"--ground-truth={scannet}/scans",
        f"--scenes={tmp_path}/one.txt",
        "--association=sim3",
        "--workers=1",
        f"--out={tmp_path}/out",
    ]
    table1.main([*words, "--methods", "features", "onlineanyseg", "--turns=2"])
    text, table = table_at(tmp_path)
    assert line_of(text, "OnlineAnySeg-M")[-2:] == ["13.4 / 26.8 / 43.2", "3000"]
    assert table["dataset"]["departures"] == [
        "1 scenes, not 312", "association sim3, not gt", "stride 1, not 10",
    ]  # fmt: skip
    assert "geometry cut3r" in text and "nearest point within 0.1 m" in text


def test_mistakes_are_one_sentence(scannet, tmp_path, monkeypatch):
    words = data_words(scannet, "scannet200", tmp_path, caches="nothing")
    monkeypatch.setattr(sys, "argv", ["run", *words])
    with pytest.raises(SystemExit, match=r"run: .*nothing has predictions of none of the 2 scenes"):
        run_script(table1.main)
    words = data_words(scannet, "scannet200", tmp_path)
    monkeypatch.setattr(sys, "argv", ["run", *words, "--imported", "masks"])
    with pytest.raises(SystemExit, match="--imported masks: give NAME=MASKS"):
        run_script(table1.main)
