import argparse
from pathlib import Path

import pytest

from moonseg_cli.eval import add_arguments
from moonseg_jax.eval import PROTOCOLS, EvalSettings, describe_dataset, format_metrics
from moonseg_jax.eval.ap import THRESHOLDS
from moonseg_jax.eval.associate import ASSOCIATED, ASSOCIATIONS
from moonseg_jax.eval.datasets import MISSING, Dataset, SceneFiles
from moonseg_jax.eval.ground_truth import GT_MODES, VOID
from moonseg_jax.eval.protocols import departures

PAPERS = {"stride": 20, "geometry": "cut3r"}


def test_the_commands_words_are_the_packages():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = {action.dest: action.choices for action in parser._actions if action.choices}
    assert words == {
        "gt_mode": list(GT_MODES), "association": list(ASSOCIATIONS),
        "thresholds": list(THRESHOLDS), "protocol": list(PROTOCOLS), "missing": list(MISSING),
    }  # fmt: skip
    assert set(VOID) == set(GT_MODES)
    assert set(ASSOCIATED) >= set(ASSOCIATIONS)


@pytest.mark.parametrize(("name", "count"), [("scannet200", 312), ("scenenn", 12)])
def test_what_the_paper_did_departs_in_nothing(name, count):
    protocol = PROTOCOLS[name]
    scene = {"stride": protocol.stride, "geometry": "cut3r"}
    assert departures(protocol, EvalSettings(), [scene] * count) == []


@pytest.mark.parametrize(
    ("settings", "scene", "count", "said"),
    [
        ({"gt_mode": "things"}, PAPERS, 12, "gt mode things, not onlineanyseg"),
        ({"association": "sim3"}, PAPERS, 12, "association sim3, not gt"),
        ({"thresholds": "ten"}, PAPERS, 12, "thresholds ten, not nine"),
        ({}, PAPERS | {"stride": 5}, 12, "stride 5, not 20"),
        ({}, PAPERS | {"geometry": "sensor"}, 12, "geometry sensor, not predicted by cut3r"),
        ({}, PAPERS, 11, "11 scenes, not 12"),
    ],
)
def test_what_departs_is_said(settings, scene, count, said):
    records = [PAPERS] * (count - 1) + [scene]
    assert departures(PROTOCOLS["scenenn"], EvalSettings(**settings), records) == [said]


def test_masks_of_others_name_no_stride():
    assert departures(PROTOCOLS["scenenn"], EvalSettings(), [{"protocol": "vertices"}] * 12) == []


def test_the_table_names_what_was_done_about_missing_scenes():
    numbers = {"ap": 0.5, "ap50": 0.6, "ap25": None}
    counts = {"gt_instances": 3, "pred_instances": 2}
    record = {"scene": "005", **PAPERS, **numbers, "ranked": numbers, **counts}
    metrics = {
        **numbers, "ranked": numbers, "protocol": "gt", "gt_mode": "things", "thresholds": [0.5],
        "min_vertices": 100, "void": VOID["things"], "scenes": [record],
        "association": ASSOCIATED["gt"],
    }  # fmt: skip
    files = SceneFiles("005", Path("a"), Path("b"))
    missing = tuple(f"{i:03d}" for i in range(7))
    settings = EvalSettings("things")
    lost = Dataset(PROTOCOLS["scenenn"], (files,), "the paper's", missing, "skip", ("700",))
    table = format_metrics({**metrics, "dataset": describe_dataset(lost, settings, metrics)})
    for said in ("1 scenes (the paper's), pooled; 7 (000, 001, 002, 003, 004, ...) without",
                 "left out", "no scene here: 1 (700)", "  14.3   31.4   48.4",
                 "within 0.04 m of the measured", "stride 20; geometry cut3r"):  # fmt: skip
        assert said in table
