import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bridges.sources import open_source
from moonseg_jax.structs import InputError
from tests.bridges.conftest import K_OPENCV, Sens, picture, pose_of

LOST = np.full((4, 4), -np.inf)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scene0000_00.sens"


def test_frames(path):
    sens = Sens(microseconds=(5_000_000, 5_033_000, 5_066_000))
    source = open_source(sens.write(path))
    frames = list(source)
    assert (source.kind, source.lacks, source.image_size) == ("sens", (), (60, 80))
    assert source.names == source.all_names == ("0", "1", "2") == tuple(f.name for f in frames)
    for index, frame in enumerate(frames):
        assert frame.image.shape == (60, 80, 3) and frame.image.dtype == np.uint8
        expected = np.where(sens.millimetres(index) % 65535 == 0, np.nan, sens.millimetres(index))
        np.testing.assert_allclose(frame.depth, expected / 1000, rtol=1e-6)
        np.testing.assert_allclose(frame.T_world_from_cam, pose_of(index), atol=1e-6)
        np.testing.assert_allclose(frame.intrinsics[:2, 2], K_OPENCV[:2, 2] + 0.5)
        np.testing.assert_allclose(frame.intrinsics[[0, 1], [0, 1]], (70, 72))
    np.testing.assert_allclose([f.timestamp for f in frames], [0, 0.033, 0.066])


def test_colour_is_brought_to_the_size_of_the_depth(path):
    frame = next(iter(open_source(Sens().write(path))))
    error = np.abs(frame.image.astype(int) - picture((60, 80)))
    assert np.median(error) < 3 and (error.max(-1) > 40).mean() < 0.05  # Edges apart.


def test_real_size_gives_what_cut3r_is_run_at(path):
    sens = Sens(poses=[np.eye(4)], color_size=(968, 1296), depth_size=(480, 640))
    assert open_source(sens.write(path)).image_size == (480, 640)


def test_folder_with_a_sens_file_and_no_clock(path):
    Sens().write(path)
    source = open_source(path.parent)
    assert source.kind == "sens" and [f.timestamp for f in source] == [0, 1 / 30, 2 / 30]
    assert [f.name for f in source] == ["0", "1", "2"]  # Again.
    Sens().write(path.with_name("scene0000_01.sens"))
    with pytest.raises(InputError, match=r"holds 2 \.sens files: give one of them"):
        open_source(path.parent)


def test_stride_reads_nothing_else(path):
    broken = dict.fromkeys((1, 2, 4, 5), b"no jpeg")
    sens = Sens(poses=[pose_of(i) for i in range(7)], colors=broken, depths=broken)
    source = open_source(sens.write(path), stride=3)
    assert [f.name for f in source] == ["0", "3", "6"]
    np.testing.assert_allclose(list(source)[1].T_world_from_cam, pose_of(3), atol=1e-6)
    with pytest.raises(InputError, match=r"scene0000_00\.sens, frame 1 cannot be read as an image"):
        list(open_source(path))


def test_lost_poses_are_skipped_and_told(path):
    sens = Sens(poses=[LOST, pose_of(1), LOST, pose_of(3)])
    source = open_source(sens.write(path))
    assert [f.name for f in source] == ["1", "3"]
    assert source.skipped == [("0", "pose not finite"), ("2", "pose not finite")]
    with pytest.raises(InputError, match=r"no frame with a usable pose.*first: 0, pose not finite"):
        open_source(Sens(poses=[LOST]).write(path))


def test_other_compressions_that_are_read(path):
    sens = Sens(depth_type=0, shift=5000.0)
    frame = next(iter(open_source(sens.write(path))))
    assert frame.depth[30, 40] == pytest.approx(sens.millimetres(0)[30, 40] / 5000, rel=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"version": 3}, "of version 3, or none at all: this program reads version 4"),
        ({"color_type": 0}, "has raw colour and zlib_ushort depth: this program reads jpeg"),
        ({"depth_type": 2}, "has jpeg colour and occi_ushort depth"),
        ({"depth_type": 7}, "has jpeg colour and 7 depth"),
        ({"shift": 0.0}, "has a damaged header"),
        ({"poses": []}, "holds no frames"),
        ({"num_frames": 4}, "ends in frame 3 of 4: copy or download it again"),
        ({"color_size": (121, 121)}, "colour is 121x121 and depth 80x60: register depth"),
        ({"depths": {0: zlib.compress(bytes(8))}}, "frame 0: its depth has 8 bytes, and 80x60"),
        ({"depths": {0: b"x"}}, "frame 0: its depth cannot be decompressed"),
    ],
)
def test_what_is_wrong_is_named(path, wrong, message):
    with pytest.raises(InputError, match=rf"scene0000_00\.sens.*{message}"):
        list(open_source(Sens(**wrong).write(path)))


def test_truncated_jpeg(path):
    color = Sens().color(1)
    Sens(colors={1: color[: len(color) // 2]}).write(path)
    with pytest.raises(InputError, match="frame 1 cannot be read as an image"):
        list(open_source(path))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_cut_off_anywhere(path, share):
    whole = Sens(color_size=(12, 16), depth_size=(12, 16)).write(path).read_bytes()
    cut = int(share * len(whole))
    path.write_bytes(whole[:cut])
    if cut >= len(whole) - 8:  # Only the readings of the IMU are gone.
        assert len(list(open_source(path))) == 3
    else:
        with pytest.raises(
            InputError, match=r"scene0000_00\.sens ends in (its header|frame \d of)"
        ):
            open_source(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), header=st.booleans())
def test_one_byte_wrong_anywhere(path, share, flip, header):
    data = bytearray(Sens(color_size=(24, 32), depth_size=(12, 16)).write(path).read_bytes())
    data[int(share * (320 if header else len(data)))] ^= flip
    path.write_bytes(data)
    try:
        frames = list(open_source(path))
    except InputError as error:
        assert "scene0000_00.sens" in str(error)
    else:
        assert len(frames) + len(open_source(path).skipped) <= 3


def test_png_colour(path):
    png = path.with_name("a.png")
    Image.fromarray(picture((60, 80))).save(png)
    Sens(color_type=1, colors=dict.fromkeys(range(3), png.read_bytes())).write(path)
    np.testing.assert_array_equal(next(iter(open_source(path))).image, picture((60, 80)))
