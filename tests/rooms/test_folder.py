import json

import numpy as np
import pytest
from PIL import Image

from moonseg_jax.rooms import CorruptionRates, camera_path, sample_room, write_room
from moonseg_jax.structs import InputError

SIZE = (48, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rooms") / "a"
    return write_room(path, 1, 5, SIZE, CorruptionRates())


def test_contents_and_formats(folder):
    names = [f"{i:06d}" for i in range(5)]
    for sub, end, mode in (
        ("color", "jpg", "RGB"),
        ("depth", "png", "I;16"),
        ("instance", "png", "I;16"),
        ("masks", "png", "I;16"),
    ):
        files = sorted((folder / sub).iterdir())
        assert [f.name for f in files] == [f"{n}.{end}" for n in names]
        with Image.open(files[0]) as image:
            assert image.size == (64, 48) and image.mode == mode
    K = np.loadtxt(folder / "intrinsics.txt")
    np.testing.assert_allclose(K[:2, 2], [31.5, 23.5])  # Pixel centres at integers.
    poses = np.stack([np.loadtxt(folder / "pose" / f"{n}.txt") for n in names])
    np.testing.assert_allclose(poses, camera_path(sample_room(1), 1, 5), atol=1e-6)
    meta = json.loads((folder / "room.json").read_text())
    assert meta["frames"] == 5 and meta["rates"]["split"] == 0.15
    assert not list(folder.parent.glob(".*"))


def test_ground_truth_is_the_fused_surface(folder):
    gt = np.load(folder / "gt.npz")
    points, instance = gt["points"], gt["instance"]
    assert points.dtype == np.float32 and instance.dtype == np.int32
    voxels = np.floor(points / 0.02).astype(int)
    assert len(np.unique(voxels, axis=0)) == len(points)
    # Every pixel that was fused, lifted with the folder's own numbers, has a point close by.
    K = np.loadtxt(folder / "intrinsics.txt")
    pose = np.loadtxt(folder / "pose" / "000002.txt")
    depth = np.asarray(Image.open(folder / "depth" / "000002.png")) / 1000.0
    ids = np.asarray(Image.open(folder / "instance" / "000002.png"))
    for row, col in ((0, 0), (24, 32), (46, 62), (30, 10)):
        z = depth[row, col]
        local = np.array([(col - K[0, 2]) / K[0, 0] * z, (row - K[1, 2]) / K[1, 1] * z, z])
        apart = np.linalg.norm(points - (pose[:3, :3] @ local + pose[:3, 3]), axis=1)
        assert apart.min() < 0.035
        assert ids[row, col] in instance[apart < 0.035]


def test_same_seed_same_bytes_and_rewriting_replaces(folder, tmp_path):
    again = write_room(tmp_path / "b", 1, 3, SIZE, CorruptionRates())
    again = write_room(again, 1, 5, SIZE, CorruptionRates())
    for file in sorted(p.relative_to(folder) for p in folder.rglob("*.*") if p.name != "gt.npz"):
        assert (folder / file).read_bytes() == (again / file).read_bytes(), file


def test_frames_can_be_watched(tmp_path):
    seen = []

    def watch(frames):
        for frame in frames:
            seen.append(frame.image.shape)
            yield frame

    write_room(tmp_path / "room", 1, 2, SIZE, watch=watch)
    assert seen == [(*SIZE, 3)] * 2


def test_without_rates_there_are_no_masks(tmp_path):
    path = write_room(tmp_path / "deep" / "er", 2, 1, SIZE)
    assert not (path / "masks").exists() and (path / "instance" / "000000.png").exists()


def test_foreign_folders_and_odd_sizes_are_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not lose")
    with pytest.raises(InputError, match="mine exists and is not"):
        write_room(tmp_path / "mine", 0, 1, SIZE)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    with pytest.raises(InputError, match="multiples of 16"):
        write_room(tmp_path / "odd", 0, 1, (50, 64))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def broken(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("moonseg_jax.rooms.folder._png", broken)
    with pytest.raises(OSError, match="disk full"):
        write_room(tmp_path / "a", 1, 2, SIZE)
    assert list(tmp_path.iterdir()) == []
