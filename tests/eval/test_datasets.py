import numpy as np
import pytest

from moonseg_jax.eval.datasets import find_dataset, place_of, read_scene_list
from moonseg_jax.eval.protocols import PROTOCOLS
from moonseg_jax.structs import InputError


def touch(*files):
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")


def names(dataset):
    return [scene.scene for scene in dataset.scenes]


@pytest.fixture
def root(tmp_path):
    """Text ground truth, and results as folders and as files."""
    touch(*(tmp_path / "gt" / f"scene000{i}_00.txt" for i in range(3)))
    touch(tmp_path / "gt" / "scannetv2_val.txt", tmp_path / "gt" / "README.md")
    touch(tmp_path / "results" / "scene0000_00" / "result.json")
    touch(tmp_path / "results" / "scene0001_00.npz", tmp_path / "results" / "scene0002_00.npz")
    return tmp_path


def find(root, protocol="scannet200", **choices):
    return find_dataset(PROTOCOLS[protocol], root / "results", root / "gt", **choices)


def test_scenes_are_those_with_ground_truth(root):
    dataset = find(root)
    assert names(dataset) == ["scene0000_00", "scene0001_00", "scene0002_00"]
    assert dataset.scenes[0].predictions == root / "results" / "scene0000_00"
    assert dataset.scenes[1].predictions == root / "results" / "scene0001_00.npz"
    assert dataset.scenes[1].ground_truth == root / "gt" / "scene0001_00.txt"
    assert dataset.scenes[0].recording is None
    assert (dataset.missing, dataset.unlisted) == ((), ())


def test_a_folder_counts_where_it_holds_ground_truth(root):
    touch(root / "gt" / "scene0003_00" / "notes.md", root / "results" / "scene0003_00" / "x")
    assert "scene0003_00" not in names(find(root))
    np.savez(root / "gt" / "scene0003_00" / "gt.npz", points=[], instance=[])
    dataset = find(root)
    assert dataset.scenes[-1].ground_truth == root / "gt" / "scene0003_00"


def test_a_list_chooses_and_orders(root):
    listed = root / "list.txt"
    listed.write_text("scene0002_00\n\n# not yet: scene0001_00\nscene0000_00 # again\n")
    assert names(find(root, listed=listed)) == ["scene0002_00", "scene0000_00"]
    assert find(root, listed=listed).unlisted == ("scene0001_00",)
    listed.write_text("scene0000_00\nscene0009_00\n")
    with pytest.raises(InputError, match=r"results has no predictions for 1 of 2 .*scene0009_00"):
        find(root, listed=listed)
    with pytest.raises(InputError, match=r"gt has no ground truth for 1 of 2 .*--scenes"):
        find(root, listed=listed, missing="empty")
    listed.write_text("# nothing\n")
    with pytest.raises(InputError, match=r"list\.txt names no scene of --protocol=scannet200"):
        find(root, listed=listed)
    with pytest.raises(InputError, match=r"gone\.txt cannot be read as a list of scenes"):
        find(root, listed=root / "gone.txt")


def test_what_is_missing_is_refused_or_counted(root):
    (root / "results" / "scene0001_00.npz").unlink()
    with pytest.raises(InputError, match=r"for 1 of 3 scenes \(scene0001_00\): .*--missing=empty"):
        find(root)
    empty, skip = find(root, missing="empty"), find(root, missing="skip")
    assert empty.missing == skip.missing == ("scene0001_00",)
    assert names(empty)[1] == "scene0001_00" and empty.scenes[1].predictions is None
    assert names(skip) == ["scene0000_00", "scene0002_00"]


def test_recordings_are_folders_or_sens_files(root):
    touch(root / "scans" / "scene0000_00" / "x", root / "scans" / "scene0001_00.sens")
    with pytest.raises(InputError, match=r"scans has no recording for 1 .*scene0002_00.*--record"):
        find(root, recordings=root / "scans")
    touch(root / "scans" / "scene0002_00" / "x")
    dataset = find(root, recordings=root / "scans")
    assert dataset.scenes[1].recording == root / "scans" / "scene0001_00.sens"


def test_paths_with_the_scene_inside(tmp_path):
    root = tmp_path / "odd [1] {name}"
    for scene in ("a", "b"):
        touch(root / scene / f"{scene}_ours" / "result.json", root / f"{scene}-gt.npz")
    touch(root / "a" / "b_ours" / "result.json")  # Another scene's name: none of these.
    where = root / "{scene}" / "{scene}_ours", root / "{scene}-gt.npz"
    dataset = find_dataset(PROTOCOLS["folder"], *where)
    assert names(dataset) == ["a", "b"] and dataset.unlisted == ()
    assert dataset.scenes[0].predictions == root / "a" / "a_ours"
    assert dataset.scenes[1].ground_truth == root / "b-gt.npz"
    assert place_of(root / "gt", "a") == root / "gt" / "a"


def test_scenenn_is_the_papers_twelve(tmp_path):
    for scene in (*PROTOCOLS["scenenn"].scenes, "700"):
        touch(tmp_path / "gt" / f"{scene}.xml", tmp_path / "results" / f"{scene}.npz")
    dataset = find(tmp_path, "scenenn")
    assert len(dataset.scenes) == PROTOCOLS["scenenn"].count == 12
    assert (dataset.chosen_by, dataset.unlisted) == ("the paper's", ("700",))


def test_nothing_there_is_told(tmp_path):
    (tmp_path / "gt").mkdir()
    with pytest.raises(InputError, match="gt names no scene of --protocol=folder: give the folder"):
        find(tmp_path, "folder")
    with pytest.raises(InputError, match="has predictions of none of the 12 scenes"):
        find(tmp_path, "scenenn")


def test_a_scene_is_listed_once(tmp_path):
    (tmp_path / "list.txt").write_text("b\na\nb\n")
    assert read_scene_list(tmp_path / "list.txt") == ("b", "a")
