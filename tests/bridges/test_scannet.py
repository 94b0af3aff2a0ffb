import numpy as np
import pytest
from PIL import Image

from bridges.preprocess import plan_transform
from bridges.sources import open_source
from moonseg_jax.structs import InputError
from tests.bridges.conftest import Sens, picture, pose_of


def test_the_export_gives_the_same_frames_as_the_sens_file(tmp_path):
    sens = Sens(poses=[pose_of(i) for i in range(12)])
    exported = open_source(sens.export(tmp_path / "scene0000_00"))
    streamed = open_source(sens.write(tmp_path / "scene0000_00.sens"))
    assert exported.kind == "scannet" and exported.lacks == ()
    assert exported.names == streamed.names == tuple(str(i) for i in range(12))
    for a, b in zip(exported, streamed, strict=True):
        assert (a.name, a.timestamp) == (b.name, b.timestamp)
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.depth, b.depth)
        np.testing.assert_allclose(a.T_world_from_cam, b.T_world_from_cam, atol=1e-6)
        np.testing.assert_allclose(a.intrinsics, b.intrinsics, atol=1e-6)


def test_a_point_lands_on_its_depth_in_both_images(tmp_path):
    # The red square's corner, at (20, 15) of the 80x60 image as the depth camera sees it.
    frame = next(iter(open_source(Sens().export(tmp_path / "scene"))))
    red = (frame.image[..., 0] > 160) & (frame.image[..., 2] < 80)
    rows, columns = np.nonzero(red)
    assert (rows.min(), columns.min()) == (15, 20)
    np.testing.assert_allclose(frame.intrinsics, [[70, 0, 40], [0, 72, 30], [0, 0, 1]])


def test_colour_that_was_exported_smaller(tmp_path):
    folder = Sens(poses=[np.eye(4)]).export(tmp_path / "scene")
    Image.fromarray(picture((30, 40))).save(folder / "color" / "0.jpg")
    (frame,) = open_source(folder)
    assert frame.image.shape == (30, 40, 3) and frame.depth.shape == (60, 80)
    np.testing.assert_allclose(frame.intrinsics, [[35, 0, 20], [0, 36, 15], [0, 0, 1]])


def test_colour_alone_is_brought_to_640x480(tmp_path):
    # Without intrinsics too, by its size: 512x368 would come of 1296x968 as it is.
    (tmp_path / "color").mkdir()
    Image.fromarray(picture((968, 1296))).save(tmp_path / "color" / "0.jpg")
    source = open_source(tmp_path)
    assert (source.kind, source.image_size) == ("scannet", (480, 640))
    assert source.lacks == ("depth", "poses", "intrinsics")
    assert plan_transform(source.image_size).image_size == (384, 512)
    (tmp_path / "intrinsic").mkdir()
    K = [[1170.0, 0, 647.5, 0], [0, 1170, 483.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.savetxt(tmp_path / "intrinsic" / "intrinsic_color.txt", K)
    (frame,) = open_source(tmp_path)
    np.testing.assert_allclose(frame.intrinsics[:2, 2], (320, 240))
    np.testing.assert_allclose(frame.intrinsics[0, 0], 1170 * 640 / 1296)


def test_the_export_in_a_folder_called_frames(tmp_path):
    Sens().export(tmp_path / "scene0011_00" / "frames")
    source = open_source(tmp_path / "scene0011_00")
    assert source.kind == "scannet" and source.path.name == "scene0011_00" and len(source) == 3


def test_lost_poses(tmp_path):
    sens = Sens(poses=[pose_of(0), np.full((4, 4), -np.inf)])
    source = open_source(sens.export(tmp_path / "scene"))
    assert source.names == ("0",) and source.skipped == [("1", "pose not finite")]


def test_depth_colour_mismatch(tmp_path):
    folder = Sens().export(tmp_path / "scene")
    (folder / "color" / "2.jpg").unlink()
    with pytest.raises(
        InputError, match=r"2 colour images and 3 depth maps, and no colour for .* 2"
    ):
        open_source(folder)


def test_depth_of_another_shape(tmp_path):
    folder = Sens(color_size=(121, 121)).export(tmp_path / "scene")
    with pytest.raises(InputError, match="colour is 121x121 and depth 80x60: register"):
        open_source(folder)


def test_intrinsics_of_another_size(tmp_path):
    folder = Sens().export(tmp_path / "scene")
    (folder / "intrinsic" / "intrinsic_depth.txt").write_text("1170 0 647 0 0 1170 483 0 0 0 1 0")
    with pytest.raises(InputError, match=r"intrinsic_depth\.txt does not hold nine"):
        open_source(folder)
    (folder / "intrinsic" / "intrinsic_depth.txt").write_text("1170 0 647 0 1170 483 0 0 1")
    with pytest.raises(InputError, match=r"principal point .* lies outside"):
        open_source(folder)


def test_the_cpp_export_is_refused(tmp_path):
    Image.new("RGB", (80, 60)).save(tmp_path / "frame-000000.color.jpg")
    (tmp_path / "_info.txt").write_text("m_versionNumber = 4\n")
    with pytest.raises(InputError, match=r"C\+\+ SensReader.*give the \.sens file"):
        open_source(tmp_path)


def test_an_export_without_images(tmp_path):
    for folder in ("color", "intrinsic"):
        (tmp_path / folder).mkdir()
    with pytest.raises(InputError, match="holds no frames"):
        open_source(tmp_path)
