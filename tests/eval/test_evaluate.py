import json

import numpy as np
import pytest

from moonseg_jax.eval import evaluate, format_metrics
from moonseg_jax.structs import InputError


def write_foreign(path, masks, scores):
    np.savez(path, pred_masks=masks, pred_score=scores, pred_classes=np.zeros(len(scores), int))


@pytest.fixture
def truth(tmp_path):
    instance = np.repeat([1, 2, 0], [300, 200, 100])
    np.savez(tmp_path / "gt.npz", points=np.zeros((600, 3)), instance=instance)
    return tmp_path / "gt.npz", instance


@pytest.mark.parametrize("association", ["gt", "sim3"])
def test_a_perfect_result_scores_nearly_one_and_says_how(recording, association):
    metrics = evaluate([recording.result], [recording.folder], association=association)
    assert metrics["ap"] > 0.95
    assert [metrics["ap50"], metrics["ap25"], metrics["ranked"]["ap50"]] == pytest.approx([1] * 3)
    expected = {"protocol": association, "gt_mode": "onlineanyseg", "score_rule": "constant",
                "min_vertices": 100}  # fmt: skip
    assert {name: metrics[name] for name in expected} == expected
    assert metrics["thresholds"] == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9]
    scene = metrics["scenes"][0]
    assert (scene["scene"], scene["gt_instances"], scene["pred_instances"]) == ("planes", 3, 3)
    assert (scene["stride"], scene["frames"], scene["min_observations"]) == (10, 5, 2)
    assert scene["labelled_share"] > 0.9
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_foreign_masks_against_npz_and_scannet_text(truth, tmp_path):
    gt, instance = truth
    write_foreign(tmp_path / "p.npz", instance[:, None] == [1], np.ones(1))
    metrics = evaluate([tmp_path / "p.npz"], [gt], thresholds="ten")
    assert metrics["ap"] == pytest.approx(0.5)
    assert metrics["protocol"] == "vertices"
    assert len(metrics["thresholds"]) == 10
    np.savetxt(tmp_path / "room.txt", np.where(instance > 0, 2000 + instance + 1, 1), "%d")
    assert evaluate([tmp_path / "p.npz"], [tmp_path / "room.txt"])["ap"] == pytest.approx(0.5)


def test_scenes_are_pooled(truth, recording, tmp_path):
    gt, _ = truth
    write_foreign(tmp_path / "p.npz", np.zeros((600, 0), bool), np.zeros(0))
    metrics = evaluate([tmp_path / "p.npz", recording.result], [gt, recording.folder])
    assert [scene["ap50"] for scene in metrics["scenes"]] == [0, 1]
    assert metrics["ap50"] == pytest.approx(3 / 5)
    assert metrics["protocol"] == "gt, vertices"
    text = format_metrics(metrics)
    assert "all scenes" in text and "planes" in text and "60.0" in text
    assert "vote for the instance of their pixel" in text and "came on the vertices" in text
    assert "results: stride 10; geometry sensor; poses sensor; features" in text


def test_no_ground_truth_is_null_not_nan(tmp_path):
    np.savez(tmp_path / "gt.npz", points=np.zeros((300, 3)), instance=np.zeros(300, int))
    write_foreign(tmp_path / "p.npz", np.ones((300, 1), bool), np.ones(1))
    metrics = evaluate([tmp_path / "p.npz"], [tmp_path / "gt.npz"])
    assert metrics["ap"] is None
    assert metrics["scenes"][0]["labelled_share"] is None
    assert " - " in format_metrics(metrics)


def test_misfits_are_named(truth, recording, tmp_path):
    gt, _ = truth
    write_foreign(tmp_path / "p.npz", np.ones((599, 1), bool), np.ones(1))
    with pytest.raises(InputError, match=r"p\.npz has masks over 599 .*gt\.npz has 600"):
        evaluate([tmp_path / "p.npz"], [gt])
    write_foreign(tmp_path / "q.npz", np.ones((600, 2), bool), np.ones(1))
    with pytest.raises(InputError, match=r"q\.npz has pred_masks \(600, 2\) and pred_score \(1,\)"):
        evaluate([tmp_path / "q.npz"], [gt])
    with pytest.raises(InputError, match=r"gt\.npz has no array pred_masks"):
        evaluate([gt], [gt])
    with pytest.raises(InputError, match=r"gone\.npz does not exist"):
        evaluate([tmp_path / "gone.npz"], [gt])
    with pytest.raises(InputError, match="1 predictions and 2 ground truths"):
        evaluate([recording.result], [gt, gt])
    with pytest.raises(InputError, match="--gt-mode stuff is unknown: choose from onlineanyseg"):
        evaluate([recording.result], [gt], gt_mode="stuff")
