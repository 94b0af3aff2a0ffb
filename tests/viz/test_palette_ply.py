import numpy as np
from plyfile import PlyData

from moonseg_jax.viz import instance_colors, write_ply
from moonseg_jax.viz.overlay import boundaries, overlay_instances
from moonseg_jax.viz.palette import NO_INSTANCE


def test_colours_are_stable_and_apart():
    colors = instance_colors(np.arange(65)).astype(int)
    assert tuple(colors[0]) == NO_INSTANCE
    np.testing.assert_array_equal(instance_colors(np.array([[7], [3]]))[:, 0], colors[[7, 3]])
    apart = np.abs(colors[:, None] - colors[None]).sum(-1)
    assert apart[~np.eye(65, dtype=bool)].min() > 8
    # What stands beside each other in number is told apart at a glance.
    for step in (1, 2, 3):
        assert apart[np.arange(65 - step), np.arange(step, 65)].min() > 60
    assert instance_colors(np.zeros((2, 0), int)).shape == (2, 0, 3)


def test_ply_is_binary_and_complete(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3)).astype(np.float32)
    colors = rng.integers(0, 256, (50, 3)).astype(np.uint8)
    write_ply(tmp_path / "a.ply", points, colors, np.arange(50))
    assert b"binary_little_endian" in (tmp_path / "a.ply").read_bytes()[:60]
    vertex = PlyData.read(tmp_path / "a.ply")["vertex"]
    np.testing.assert_array_equal(np.stack([vertex[a] for a in "xyz"], -1), points)
    found = np.stack([vertex[c] for c in ("red", "green", "blue")], -1)
    np.testing.assert_array_equal(found, colors)
    np.testing.assert_array_equal(vertex["instance"], np.arange(50))
    write_ply(tmp_path / "b.ply", points[:0], colors[:0], np.arange(0))
    assert len(PlyData.read(tmp_path / "b.ply")["vertex"].data) == 0


def test_overlay_tints_instances_and_leaves_the_rest():
    image = np.full((20, 30, 3), 100, np.uint8)
    labels = np.zeros((20, 30), np.uint16)
    labels[5:15, 0:10] = 4
    edge = boundaries(labels)
    assert edge[5, 3] and edge[14, 3] and edge[8, 9]
    assert not edge[8, 5] and not edge[4, 3]
    assert not edge[8, 0]  # Where the picture ends there is no boundary.
    drawn = overlay_instances(image, labels)
    np.testing.assert_array_equal(drawn[labels == 0], image[labels == 0])
    assert (drawn[edge] == 255).all()
    assert (drawn[8, 5] != 100).any()
