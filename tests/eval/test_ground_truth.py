import json
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from moonseg_jax.eval import scannet200
from moonseg_jax.eval.ap import average_precision
from moonseg_jax.eval.ground_truth import counted_instances, load_ground_truth
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
    with pytest.raises(InputError, match=r"put scene0000_00_vh_clean_2\.ply beside it"):
        truth.require_points()
    write_mesh(tmp_path / "scene0000_00_vh_clean_2.ply", 3)
    points = load_ground_truth(tmp_path / "scene0000_00.txt").require_points()
    np.testing.assert_array_equal(points[:, 2], [0, 1, 2])
    write_mesh(tmp_path / "scene0000_00_vh_clean_2.ply", 4)
    with pytest.raises(InputError, match=r"labels 3 vertices and .* has 4"):
        load_ground_truth(tmp_path / "scene0000_00.txt")


def write_mesh(path: Path, vertices: int) -> None:
    vertex = np.zeros(vertices, [("x", "f4"), ("y", "f4"), ("z", "f4")])
    vertex["z"] = np.arange(vertices)
    PlyData([PlyElement.describe(vertex, "vertex")]).write(str(path))


def test_bad_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no ground truth at .*missing"):
        load_ground_truth(tmp_path / "missing.npz")
    with pytest.raises(InputError, match=r"no ground truth at .*gt\.npz"):
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
