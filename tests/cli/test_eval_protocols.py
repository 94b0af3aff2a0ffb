"""`moonseg eval --protocol` on whole data sets in little, from their own files on."""

import json
import shutil

from moonseg_cli import scoring
from moonseg_cli.main import main
from tests.eval.trees import SCANNET


def score(capsys, *words):
    capsys.readouterr()
    assert main(["eval", "--json", "--workers=1", *words]) == 0
    return json.loads(capsys.readouterr().out)


def scannet_words(root, truth="scans"):
    paths = (f"--predictions={root}/results", f"--ground-truth={root}/{truth}")
    return ("--protocol=scannet200", *paths)


def numbers(metrics):
    return [metrics[name] for name in ("ap", "ap50", "ap25", "ranked")]


def test_scannet_from_its_own_files(scannet, capsys):
    metrics = score(capsys, *scannet_words(scannet))
    assert [scene["scene"] for scene in metrics["scenes"]] == list(SCANNET)
    assert metrics["ap25"] > 0.5
    assert numbers(metrics) not in [numbers(scene) for scene in metrics["scenes"]]  # Pooled.
    dataset = metrics["dataset"]
    assert (dataset["protocol"], dataset["scenes"]) == ("scannet200", 2)
    assert dataset["paper"] == {"ap": 0.167, "ap50": 0.333, "ap25": 0.5}
    assert dataset["departures"] == [
        "2 scenes, not 312", "stride 1, not 10", "geometry sensor, not predicted by cut3r",
    ]  # fmt: skip
    for i, scene in enumerate(SCANNET):
        kept = json.loads((scannet / "results" / scene / "metrics.json").read_text())
        assert kept["scenes"] == [metrics["scenes"][i]]
        truth = f"--ground-truth={scannet}/scans/{scene}"
        words = (f"--predictions={scannet}/results/{scene}", truth)
        assert main(["eval", "--json", *words]) == 0
        assert json.loads(capsys.readouterr().out) == kept
    assert json.loads((scannet / "results" / "metrics.json").read_text()) == metrics


def test_text_files_find_their_meshes_among_the_recordings(scannet, capsys, refused):
    own = score(capsys, *scannet_words(scannet))
    words = scannet_words(scannet, "gt")
    texts = score(capsys, *words, f"--recording={scannet}/scans")
    # One is numbered by objects, the other by instances: the order of ids is the same.
    assert numbers(texts) == numbers(own)
    assert "name that with --recording" in refused("eval", "--workers=1", *words)
    listed = score(
        capsys, *words, f"--recording={scannet}/scans", f"--scenes={scannet}/gt/scannetv2_val.txt"
    )
    assert numbers(listed) == numbers(own)
    assert listed["dataset"]["chosen_by"].endswith("scannetv2_val.txt")


def test_processes_change_nothing(scannet, capsys):
    serial = score(capsys, *scannet_words(scannet))
    assert main(["eval", "--json", "--workers=2", *scannet_words(scannet)]) == 0
    assert json.loads(capsys.readouterr().out) == serial


def test_scenes_without_predictions(scannet, tmp_path, capsys, refused):
    shutil.copytree(scannet / "results" / SCANNET[1], tmp_path / "results" / SCANNET[1])
    shutil.copytree(scannet / "results" / SCANNET[1], tmp_path / "results" / "scene0099_00")
    truth = f"--ground-truth={scannet}/scans"
    words = ("--protocol=scannet200", f"--predictions={tmp_path}/results", truth)
    sentence = refused("eval", "--workers=1", *words)
    assert "has no predictions for 1 of 2 scenes (scene0011_00)" in sentence
    empty = score(capsys, *words, "--missing=empty")
    skip = score(capsys, *words, "--missing=skip")
    assert empty["dataset"]["missing"] == skip["dataset"]["missing"] == [SCANNET[0]]
    assert (empty["dataset"]["missing_rule"], empty["dataset"]["scenes"]) == ("empty", 2)
    assert (skip["dataset"]["missing_rule"], skip["dataset"]["scenes"]) == ("skip", 1)
    assert empty["dataset"]["unlisted"] == ["scene0099_00"]
    first, second = empty["scenes"]
    assert (first["scene"], first["predictions"], first["ap25"]) == (SCANNET[0], None, 0)
    assert first["gt_instances"] == second["gt_instances"] > 0
    assert 0 < empty["ap25"] < skip["ap25"] == second["ap25"]
    nobody = refused("eval", *words[:1], truth, f"--predictions={tmp_path}", "--missing=empty")
    assert "has predictions of none of the 2 scenes" in nobody


def test_scenenn_counts_its_twelve_unless_others_are_listed(scenenn, capsys, refused):
    paths = (f"--predictions={scenenn}/results", f"--ground-truth={scenenn}/scenenn")
    words = ("--protocol=scenenn", *paths)
    sentence = refused("eval", *words)
    assert "no predictions for 10 of 12 scenes (015, 030, 054, 080, 089 and 5 more)" in sentence
    for association in ("gt", "sim3"):
        listed = (f"--scenes={scenenn}/two.txt", f"--association={association}")
        metrics = score(capsys, *words, *listed)
        assert metrics["ap25"] > 0.5 and metrics["protocol"] == association
        assert [scene["scene"] for scene in metrics["scenes"]] == ["005", "011"]
        assert metrics["dataset"]["paper"]["ap"] == 0.143
        departs = "association sim3, not gt" in metrics["dataset"]["departures"]
        assert departs == (association == "sim3")


def test_folders_of_any_names(scannet, rooms, tmp_path, capsys):
    for room, scene in zip(rooms, SCANNET, strict=True):
        shutil.copytree(scannet / "results" / scene, tmp_path / f"my {scene}" / "result")
        (tmp_path / "data" / f"my {scene}").mkdir(parents=True)
        shutil.copy(room / "gt.npz", tmp_path / "data" / f"my {scene}")
    (tmp_path / "scans").mkdir()
    for scene in SCANNET:
        (tmp_path / "scans" / f"my {scene}").symlink_to(scannet / "scans" / scene)
    words = (
        "--protocol=folder",
        f"--predictions={tmp_path}/{{scene}}/result",
        f"--ground-truth={tmp_path}/data",
        f"--recording={tmp_path}/scans",
    )
    metrics = score(capsys, *words)
    assert numbers(metrics) == numbers(score(capsys, *scannet_words(scannet)))
    assert [scene["scene"] for scene in metrics["scenes"]] == [f"my {s}" for s in SCANNET]
    assert metrics["dataset"]["paper"] is None and metrics["dataset"]["departures"] == []
    assert main(["eval", "--workers=1", *words]) == 0
    table = capsys.readouterr().out
    assert "all scenes" in table and "2 scenes (those with ground truth in" in table
    assert "(paper)" not in table and "not comparable" not in table


def test_the_papers_row_stands_beside_ours(scannet, capsys):
    words = scannet_words(scannet)
    assert main(["eval", "--workers=1", "--gt-mode=maskclustering", *words]) == 0
    table = capsys.readouterr().out.splitlines()
    ours, paper = (next(i for i, line in enumerate(table) if line.startswith(word))
                   for word in ("all scenes", "MoonSeg3R (paper)"))  # fmt: skip
    assert paper == ours + 1 and table[paper].split()[2:5] == ["16.7", "33.3", "50.0"]
    text = "\n".join(table)
    for said in ("gt mode maskclustering", "void: nothing", "2 scenes", "none missing",
                 "gt mode maskclustering, not onlineanyseg"):  # fmt: skip
        assert said in text


def test_masks_of_others_are_scored_as_a_data_set(scannet, tmp_path, capsys):
    for scene in SCANNET:
        words = [f"--predictions={scannet}/results/{scene}", f"--out={tmp_path}/{scene}.npz"]
        truth = f"--ground-truth={scannet}/gt/{scene}.txt"  # Its mesh is the recording's.
        assert main(["export", *words, truth, f"--recording={scannet}/scans/{scene}"]) == 0
    truth = f"--ground-truth={scannet}/gt"
    theirs = score(capsys, "--protocol=scannet200", f"--predictions={tmp_path}", truth)
    assert theirs["protocol"] == "vertices"
    assert numbers(theirs) == numbers(score(capsys, *scannet_words(scannet)))


def test_flags_without_effect_and_too_many_paths(scannet, refused):
    paths = (f"--predictions={scannet}/results/{SCANNET[0]}", f"--ground-truth={scannet}/gt")
    for flag in ("--scenes=list.txt", "--missing=skip", "--workers=2"):
        assert f"{flag.split('=')[0]}: only with --protocol" in refused("eval", *paths, flag)
    two = ("--predictions", "a", "b", "--ground-truth=c", "--protocol=folder")
    assert "--predictions names 2 paths" in refused("eval", *two)
    sentence = refused("eval", *scannet_words(scannet), "--workers=-1")
    assert "--workers=-1: give a number of processes" in sentence


def test_a_process_that_dies_is_told(scannet, refused, monkeypatch):
    class Pool(scoring.ProcessPoolExecutor):
        def map(self, *_):
            raise scoring.BrokenProcessPool

    monkeypatch.setattr(scoring, "ProcessPoolExecutor", Pool)
    sentence = refused("eval", *scannet_words(scannet), "--workers=2")
    assert "fewer --workers may fit" in sentence


def test_a_scene_that_is_damaged_ends_all_processes(scannet, tmp_path, refused):
    shutil.copytree(scannet / "results", tmp_path / "results")
    broken = tmp_path / "results" / SCANNET[1] / "instances.npz"
    broken.write_bytes(b"nothing")
    words = ("--protocol=scannet200", f"--predictions={tmp_path}/results", "--workers=2")
    sentence = refused("eval", *words, f"--ground-truth={scannet}/scans")
    assert f"{broken} is not a readable npz" in sentence
