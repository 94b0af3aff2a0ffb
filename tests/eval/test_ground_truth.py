import json
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from moonseg_jax.eval import scannet200
from moonseg_jax.eval.ap import average_precision
from moonseg_jax.eval.ground_truth import GT_MODES, counted_instances, load_ground_truth
from moonseg_jax.eval.overlaps import count_overlaps
from moonseg_jax.structs import InputError
from tests.eval.scenes import random_scene

REFERENCE = json.loads(Path(__file__).with_name("reference_ap.json").read_text())
# Chair, wall, floor, a class outside the 200, ...: the class of each instance of the cases.
LABELS = np.array([2, 1, 3, 12, 5, 20, 4, 1190, 37, 8, 22])


@pytest.mark.parametrize("case", REFERENCE["modes"], ids=lambda case: f"{case['seeds'][0]}")
@pytest.mark.parametrize("mode", ["onlineanyseg", "maskclustering"])
def test_numbers_of_the_peers_own_evaluators(case, mode, tmp_path):
    scenes = []
    for seed in case["seeds"]:
        instance, masks, scores = random_scene(seed)
        ids = np.where(instance > 0, LABELS[instance % len(LABELS)] * 1000 + instance + 1, 1)
        np.savetxt(tmp_path / f"{seed}.txt", ids, "%d")
        truth = load_ground_truth(tmp_path / f"{seed}.txt", mode)
        scenes.append(count_overlaps(truth.instance, masks, scores))
    values = average_precision(scenes, "nine", "ranked")
    np.testing.assert_allclose(list(values.values()), case[mode], rtol=0, atol=1e-12)


def test_the_same_perfect_objects_score_differently_in_the_two_modes():
    # Five objects, three walls and a floor of the 200 classes, one thing outside them, the rest.
    label = np.repeat([2, 4, 5, 7, 8, 1, 1, 1, 3, 12, 0], 150)
    instance = np.repeat([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1], 150)
    objects = np.where(instance < 5, instance + 1, 0)
    ap = {}
    for mode in ("onlineanyseg", "maskclustering", "things"):
        counted = counted_instances(label, np.where(instance < 0, -1, instance + 1), mode)
        ap[mode] = average_precision([count_overlaps(counted, objects, np.ones(5))])["ap"]
    assert ap["onlineanyseg"] == pytest.approx(0.5556, abs=5e-5)
    assert ap["maskclustering"] == pytest.approx(0.4545, abs=5e-5)
    assert ap["things"] == 1


def test_class_list():
    assert len(set(scannet200.CLASS_IDS)) == 200
    assert {scannet200.WALL, scannet200.FLOOR} < set(scannet200.CLASS_IDS)


def test_npz_without_labels_counts_all_and_zero_or_less_is_unlabelled(tmp_path):
    np.savez(tmp_path / "room.npz", points=np.zeros((4, 3)), instance=np.array([-1, 0, 1, 7]))
    for mode, expected in [("onlineanyseg", [0, 0, 2, 8]), ("things", [0, 0, 2, 8]),
                           ("maskclustering", [1, 1, 2, 8])]:  # fmt: skip
        truth = load_ground_truth(tmp_path / "room.npz", mode)
        assert truth.instance.tolist() == expected
        assert truth.scene == "room"


def test_folder_and_labels(tmp_path):
    np.savez(tmp_path / "gt.npz", points=np.zeros((4, 3)), instance=[1, 2, 3, 4],
             label=[1, 3, 2, 12])  # fmt: skip
    assert load_ground_truth(tmp_path, "onlineanyseg").instance.tolist() == [2, 3, 4, 0]
    assert load_ground_truth(tmp_path, "things").instance.tolist() == [0, 0, 4, 0]
    assert load_ground_truth(tmp_path).scene == tmp_path.name


def test_scannet_points_come_from_the_mesh_beside(tmp_path):
    (tmp_path / "scene0000_00.txt").write_text("1\n2002\n2003.0\n")
    truth = load_ground_truth(tmp_path / "scene0000_00.txt")
    assert truth.instance.tolist() == [0, 3, 4]
    with pytest.raises(InputError, match=r"put scene0000_00_vh_clean_2\.ply .* beside it"):
        truth.require_points()
    write_mesh(tmp_path / "scene0000_00_vh_clean_2.ply", 3)
    points = load_ground_truth(tmp_path / "scene0000_00.txt").require_points()
    np.testing.assert_array_equal(points[:, 2], [0, 1, 2])
    write_mesh(tmp_path / "scene0000_00_vh_clean_2.ply", 4)
    with pytest.raises(InputError, match=r"labels 3 vertices and .* has 4"):
        load_ground_truth(tmp_path / "scene0000_00.txt")


TABLE = (
    "id\traw_category\tcategory\tcount\tnyu40id\n"
    "1\twall\twall\t8277\t1\n2\tchair\tchair\t4646\t5\n3\tfloor\tfloor\t1553\t2\n"
    "12\tdog bed\tdog bed\t3\t40\n2\tchair\tchair\t1\t5\n5\tchair\tduplicate\t1\t5\n"
)


@pytest.fixture
def scan(tmp_path):
    """ScanNet's own annotation of a scene of eight vertices, in its own folders."""
    folder = tmp_path / "scans" / "scene0000_00"
    folder.mkdir(parents=True)
    (tmp_path / "scannetv2-labels.combined.tsv").write_text(TABLE)
    segments = {"sceneId": "scene0000_00", "segIndices": [7, 7, 3, 3, 90, 90, 5, 11]}
    groups = [
        {"id": 0, "objectId": 0, "segments": [7, 3], "label": "chair"},
        {"id": 1, "objectId": 1, "segments": [90], "label": "wall"},
        {"id": 2, "objectId": 2, "segments": [3], "label": "dog bed"},  # Not of the 200.
        {"id": 3, "objectId": 3, "segments": [5], "label": "unheard of"},
    ]
    scene = folder / "scene0000_00"
    Path(f"{scene}_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segments))
    Path(f"{scene}.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    Path(f"{scene}_vh_clean.aggregation.json").write_text("of the other mesh")
    Path(f"{scene}.txt").write_text("axisAlignment = 1 0 0 0\n")
    write_mesh(Path(f"{scene}_vh_clean_2.ply"), 8)
    return folder


@pytest.mark.parametrize("mode", GT_MODES)
def test_scannets_own_files_are_as_the_text_made_of_them(scan, mode, tmp_path):
    # What MaskClustering's prepare_gt.py writes: label (0 if not of the 200) · 1000 + id + 1 + 1.
    label = np.array([2, 2, 0, 0, 1, 1, 0, 0])
    instance = np.array([1, 1, 3, 3, 2, 2, 4, 0])
    text = tmp_path / "scene0000_00.txt"
    np.savetxt(text, label * 1000 + instance + 1, "%d")
    write_mesh(tmp_path / "scene0000_00_vh_clean_2.ply", 8)
    expected, truth = load_ground_truth(text, mode), load_ground_truth(scan, mode)
    np.testing.assert_array_equal(truth.instance, expected.instance)
    np.testing.assert_array_equal(truth.require_points(), expected.require_points())
    assert truth.scene == expected.scene == "scene0000_00" and truth.path.parent == scan
    assert load_ground_truth(truth.path, mode).instance.tolist() == truth.instance.tolist()


def test_scannets_own_files_when_something_is_missing(scan, tmp_path):
    mesh = scan / "scene0000_00_vh_clean_2.ply"
    mesh.rename(scan / "away.ply")
    with pytest.raises(InputError, match=r"put scene0000_00_vh_clean_2\.ply \(ScanNet\)"):
        load_ground_truth(scan).require_points()
    write_mesh(mesh, 7)
    with pytest.raises(InputError, match=r"labels 8 vertices and .* has 7"):
        load_ground_truth(scan)
    mesh.write_bytes((scan / "away.ply").read_bytes()[:-20])
    with pytest.raises(InputError, match=r"vh_clean_2\.ply cannot be read as a mesh"):
        load_ground_truth(scan)
    objects = scan / "scene0000_00.aggregation.json"
    objects.write_text("{")
    with pytest.raises(InputError, match=r"scene0000_00\.aggregation\.json cannot be read"):
        load_ground_truth(scan)
    table = tmp_path / "scannetv2-labels.combined.tsv"
    table.write_text("wrong\tcolumns\n1\t2\n")
    with pytest.raises(InputError, match=r"combined\.tsv has no columns id and raw_category"):
        load_ground_truth(scan)
    table.unlink()
    with pytest.raises(InputError, match=r"needs scannetv2-labels\.combined\.tsv .*--label_map"):
        load_ground_truth(scan)


def test_a_folder_with_a_text_and_its_mesh(tmp_path):
    (tmp_path / "011.txt").write_text("1\n2002\n")  # As OnlineAnySeg's ground truth of SceneNN.
    with pytest.raises(InputError, match="no ground truth at"):
        load_ground_truth(tmp_path)
    write_mesh(tmp_path / "011.ply", 2)
    truth = load_ground_truth(tmp_path)
    assert truth.scene == "011" and truth.instance.tolist() == [0, 3]
    assert len(truth.require_points()) == 2


def write_mesh(path: Path, vertices: int) -> None:
    vertex = np.zeros(vertices, [("x", "f4"), ("y", "f4"), ("z", "f4")])
    vertex["z"] = np.arange(vertices)
    PlyData([PlyElement.describe(vertex, "vertex")]).write(str(path))


def test_bad_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no ground truth at .*missing"):
        load_ground_truth(tmp_path / "missing.npz")
    with pytest.raises(InputError, match=r"no ground truth at .*expected a gt\.npz"):
        load_ground_truth(tmp_path)
    (tmp_path / "words.txt").write_text("chair\n")
    with pytest.raises(InputError, match=r"words\.txt is not ScanNet ground truth"):
        load_ground_truth(tmp_path / "words.txt")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 truncated")
    with pytest.raises(InputError, match=r"broken\.npz is not a readable npz"):
        load_ground_truth(tmp_path / "broken.npz")
    np.savez(tmp_path / "half.npz", points=np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"half\.npz has no array instance"):
        load_ground_truth(tmp_path / "half.npz")
    np.savez(tmp_path / "odd.npz", points=np.zeros((2, 3)), instance=np.zeros(3))
    with pytest.raises(InputError, match=r"odd.npz has points \(2, 3\) and instance \(3,\)"):
        load_ground_truth(tmp_path / "odd.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"instance": np.zeros(0, int), "points": np.zeros((0, 3))}, "not 0"),
        ({"instance": np.arange(5) / 2}, r"instance is float64 \[5\]: expected an integer a point"),
        ({"label": np.arange(4)}, r"label is int64 \[4\]: expected an integer a point"),
    ],
)
def test_arrays_that_cannot_be_ground_truth_are_named(tmp_path, arrays, message):
    np.savez(tmp_path / "gt.npz", **{"points": np.zeros((5, 3)), "instance": np.arange(5)} | arrays)
    with pytest.raises(InputError, match=message):
        load_ground_truth(tmp_path)
