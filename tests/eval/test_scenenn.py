import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from moonseg_jax.eval import scannet200
from moonseg_jax.eval.ground_truth import load_ground_truth
from moonseg_jax.structs import InputError

# Vertices' ids: a wall, a floor, two chairs, an object without a class, one unknown, one the XML
# does not have, none.
IDS = [11, 11, 5, 8844, 8844, 70, 0, 31, 32, 404, 0]
ANNOTATION = """<?xml version="1.0" encoding="utf-8"?>
<annotation>
    <label id="11" text="wall" nyu_class="wall" color="1 2 3" aabbox="0 0 0 1 1 1" />
    <label id="5" text="floor" nyu_class="floor" />
    <label id="8844" text="chair 1" nyu_class="chair" />
    <label id="70" text="chair 2" nyu_class="prop" />
    <label id="31" text="thing" nyu_class="" />
    <label id="32" text="" nyu_class="unknown" />
</annotation>
"""


@pytest.fixture
def scene(tmp_path):
    folder = tmp_path / "011"
    folder.mkdir()
    write_mesh(folder / "011.ply", IDS)
    (folder / "011.xml").write_text(ANNOTATION)
    return folder


def write_mesh(path, ids):
    dtype = [("x", "f4"), ("y", "f4"), ("z", "f4")]
    vertex = np.zeros(len(ids), [*dtype, ("red", "u1"), ("label", "u2")])
    vertex["x"], vertex["label"] = np.arange(len(ids)), ids
    PlyData([PlyElement.describe(vertex, "vertex")]).write(str(path))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("onlineanyseg", [13, 13, 7, 8846, 8846, 72, 0, 0, 0, 0, 0]),
        ("things", [0, 0, 0, 8846, 8846, 72, 0, 0, 0, 0, 0]),
        ("maskclustering", [13, 13, 7, 8846, 8846, 72, 1, 1, 1, 1, 1]),
    ],
)
def test_modes(scene, mode, expected):
    truth = load_ground_truth(scene, mode)
    assert truth.instance.tolist() == expected
    assert truth.scene == "011" and truth.path == scene / "011.xml"
    np.testing.assert_array_equal(truth.require_points()[:, 0], np.arange(len(IDS)))
    assert load_ground_truth(scene / "011.xml", mode).instance.tolist() == expected


def test_any_object_counts_as_one_of_the_200():
    assert scannet200.OBJECT in scannet200.CLASS_IDS


def test_what_is_wrong_is_named(scene):
    (scene / "011.xml").write_text(ANNOTATION[:200])
    with pytest.raises(InputError, match=r"011\.xml cannot be read as SceneNN's annotation"):
        load_ground_truth(scene)
    (scene / "011.xml").write_text('<annotation><label text="no id"/></annotation>')
    with pytest.raises(InputError, match=r"011\.xml cannot be read as SceneNN's annotation"):
        load_ground_truth(scene)
    (scene / "011.xml").write_text(ANNOTATION)
    vertex = np.zeros(3, [("x", "f4"), ("y", "f4"), ("z", "f4")])
    PlyData([PlyElement.describe(vertex, "vertex")]).write(str(scene / "011.ply"))
    with pytest.raises(InputError, match=r"011\.ply has no label per vertex"):
        load_ground_truth(scene)
    (scene / "011.ply").unlink()
    with pytest.raises(InputError, match=r"no ground truth at .*SceneNN's ply and xml"):
        load_ground_truth(scene)
    with pytest.raises(InputError, match=r"011\.ply cannot be read as a mesh"):
        load_ground_truth(scene / "011.xml")
