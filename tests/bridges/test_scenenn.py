import numpy as np
import pytest
from PIL import Image

from bridges.sources import open_source
from moonseg_jax.structs import InputError
from tests.bridges.conftest import picture, pose_of


def trajectory(poses: dict[int, np.ndarray]) -> str:
    """As SceneNN writes it: image 7 has the block ``6 6 7``."""
    blocks = []
    for number, T in poses.items():
        rows = "\n".join(" ".join(f"{x:.6f}" for x in row) for row in T)
        blocks.append(f"{number - 1} {number - 1} {number}\n{rows}\n")
    return "".join(blocks)


@pytest.fixture
def make_scene(tmp_path):
    def make(frames=5, size=(480, 640), poses=None):
        root = tmp_path / "005"
        for folder in ("image", "depth"):
            (root / folder).mkdir(parents=True)
        for number in range(1, frames + 1):
            Image.fromarray(picture(size)).save(root / "image" / f"image{number:05d}.png")
            depth = np.full(size, 1000 + number, np.uint16)
            Image.fromarray(depth).save(root / "depth" / f"depth{number:05d}.png")
        if poses is None:
            poses = {number: pose_of(number) for number in range(1, frames + 1)}
        (root / "trajectory.log").write_text(trajectory(poses))
        if size != (480, 640):
            np.savetxt(root / "intrinsics.txt", [[54, 0, 32], [0, 54, 24], [0, 0, 1]])
        return root

    return make


def test_the_last_number_of_a_block_is_the_images(make_scene):
    source = open_source(make_scene())
    assert (source.kind, source.lacks, source.image_size) == ("scenenn", (), (480, 640))
    frames = list(source)
    assert [f.name for f in frames] == [f"image{number:05d}" for number in range(1, 6)]
    for number, frame in enumerate(frames, start=1):
        np.testing.assert_allclose(frame.T_world_from_cam, pose_of(number), atol=1e-6)
        assert frame.depth[240, 320] == pytest.approx(1 + number / 1000)
        np.testing.assert_allclose(
            frame.intrinsics, [[544.47329, 0, 320.5], [0, 544.47329, 240.5], [0, 0, 1]]
        )
    assert [f.timestamp for f in frames] == pytest.approx([i / 30 for i in range(5)])


def test_stride_takes_images_1_21_41(make_scene):
    source = open_source(make_scene(frames=41, size=(48, 64)), stride=20)
    assert source.names == ("image00001", "image00021", "image00041")


def test_lost_and_missing_poses(make_scene):
    lost = pose_of(3)
    lost[:3, :3] = 0
    poses = {5: pose_of(5), 1: pose_of(1), 3: lost, 2: pose_of(2), 9: pose_of(9)}
    source = open_source(make_scene(poses=poses))
    assert source.names == ("image00001", "image00002", "image00005")
    assert source.skipped == [("image00003", "pose not rigid"), ("image00004", "pose missing")]
    np.testing.assert_allclose(list(source)[2].T_world_from_cam, pose_of(5), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "0 0 1\n1 0 0 0\n0 1 0 0\n0 0 1 0\n",
            r"trajectory\.log is not a trajectory after 0 poses",
        ),
        (trajectory({1: np.eye(4)}) + "words", "is not a trajectory after 1 poses"),
        (trajectory({1: np.eye(4)}) + "1 1 2\n1 0 0\n0 1 0\n0 0 1\n0 0 0\n", "after 1 poses"),
        (trajectory({0: np.eye(4), 1: np.eye(4)}), "has a pose for image 0, and .* count from 1"),
        ("", "no frame with a usable pose .*image00001, pose missing"),
    ],
)
def test_a_wrong_trajectory(make_scene, text, message):
    root = make_scene(size=(48, 64))
    (root / "trajectory.log").write_text(text)
    with pytest.raises(InputError, match=message):
        open_source(root)


def test_as_onlineanyseg_prepares_it(make_scene):
    root = make_scene(frames=2, size=(48, 64))
    (root / "trajectory.log").unlink()
    assert open_source(root).lacks == ("poses",)
    (root / "intrinsics.txt").unlink()
    for folder in ("pose", "intrinsic"):
        (root / folder).mkdir()
    for number in (1, 2):
        np.savetxt(root / "pose" / f"{number}.txt", pose_of(number), fmt="%.8f")
    K = [[54, 0, 32, 0], [0, 54, 24, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.savetxt(root / "intrinsic" / "intrinsic_depth.txt", K)
    frames = list(open_source(root))
    np.testing.assert_allclose(frames[1].T_world_from_cam, pose_of(2), atol=1e-7)
    np.testing.assert_allclose(frames[1].intrinsics[:2, 2], (32.5, 24.5))


def test_depth_colour_mismatch(make_scene):
    root = make_scene(frames=3, size=(48, 64))
    (root / "depth" / "depth00002.png").unlink()
    with pytest.raises(
        InputError, match=r"3 colour images and 2 depth maps, and no depth .* 00002"
    ):
        open_source(root)


def test_an_image_with_another_name(make_scene):
    root = make_scene(frames=1, size=(48, 64))
    Image.new("RGB", (64, 48)).save(root / "image" / "imageA.png")
    with pytest.raises(InputError, match=r"imageA\.png is not named as image00001\.png"):
        open_source(root)
