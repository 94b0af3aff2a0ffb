import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from moonseg_jax.cache import CacheReader, CacheWriter, bytes_per_frame
from moonseg_jax.cache.schema import frame_schema
from tests.cache.scenes import (
    make_frame,
    make_info,
    random_scene,
    same_bits,
    widened,
    write_scene,
)


@pytest.mark.parametrize("num_frames", [1, 16, 37])
def test_frames_read_back_bit_for_bit(tmp_path, num_frames):
    frames = random_scene(tmp_path / "a", num_frames)
    reader = CacheReader(tmp_path / "a")
    assert len(reader) == num_frames
    assert all(map(same_bits, frames, reader.frames()))
    assert len(list(reader.frames())) == num_frames
    assert all(same_bits(frame, reader.frame(i)) for i, frame in enumerate(frames))


def test_nan_payloads_and_negative_zeros_survive(tmp_path):
    info = make_info()
    bits = np.arange(2 * 3 * 6, dtype=np.uint16).reshape(2, 3, 6)
    frame = make_frame(info, 0).replace(features_3d=(bits | 0x7C00).view(np.float16))
    write_scene(tmp_path / "a", info, [frame])
    assert same_bits(frame, CacheReader(tmp_path / "a").frame(0))


def test_frames_of_zeros_and_without_masks_read_back(tmp_path):
    info = make_info()
    frame = make_frame(info, 0, num_masks=0)
    frame = frame.replace(features_2d=np.zeros_like(frame.features_2d), colors=frame.colors * 0)
    write_scene(tmp_path / "a", info, [frame] * 3)
    reader = CacheReader(tmp_path / "a")
    assert reader.num_masks == 0
    assert same_bits(frame, reader.frame(2))


@settings(max_examples=10, deadline=None)
@given(words=st.lists(st.integers(1, 4), min_size=1, max_size=36))
def test_words_grow_with_the_frames(tmp_path_factory, words):
    path, info = tmp_path_factory.mktemp("caches") / "a", make_info(state_tokens=0)
    frames = [make_frame(info, i, num_masks=32 * w - 3) for i, w in enumerate(words)]
    write_scene(path, info, frames)
    reader = CacheReader(path)
    assert reader.words == max(words) and reader.num_masks == 32 * max(words) - 3
    wide = [widened(frame, reader.words) for frame in frames]
    assert all(map(same_bits, wide, reader.frames()))
    reader.verify()


def test_a_clip_is_its_frames_stacked(tmp_path):
    frames = random_scene(tmp_path / "a", 40)
    clip = CacheReader(tmp_path / "a").clip(9, 16)
    for i in range(16):
        np.testing.assert_array_equal(clip.points[i], frames[9 + i].points)
        np.testing.assert_array_equal(clip.masks[i], frames[9 + i].masks)
        np.testing.assert_array_equal(clip.timestamp[i], frames[9 + i].timestamp)
    assert clip.state_attention.shape == (16, 3, 2, 3)


@pytest.mark.parametrize("start,length", [(-1, 2), (0, 0), (30, 11), (40, 1)])
def test_frames_that_are_not_there_are_index_errors(tmp_path, start, length):
    random_scene(tmp_path / "a", 40)
    with pytest.raises(IndexError):
        CacheReader(tmp_path / "a").clip(start, length)


def test_what_a_reader_gives_may_be_changed(tmp_path):
    frames = random_scene(tmp_path / "a", 3)
    reader = CacheReader(tmp_path / "a")
    reader.clip(0, 3).T_world_from_cam[:] = 0
    reader.frame(1).points[:] = 0
    assert same_bits(frames[1], reader.frame(1))


def test_the_writer_keeps_no_reference_to_what_it_was_given(tmp_path):
    info, frame = make_info(), make_frame(make_info(), 0)
    with CacheWriter(tmp_path / "a", info) as writer:
        for value in range(20):
            frame.points[:] = value
            frame.intrinsics[:] = value
            writer.append(str(value), frame)
    for value, back in enumerate(CacheReader(tmp_path / "a").frames()):
        assert (back.points == value).all() and (back.intrinsics == value).all()


def test_state_attention_can_be_left_on_the_disk(tmp_path):
    random_scene(tmp_path / "a", 2)
    assert CacheReader(tmp_path / "a", state_attention=False).frame(0).state_attention is None
    random_scene(tmp_path / "b", 2, make_info(state_tokens=0))
    assert CacheReader(tmp_path / "b").frame(0).state_attention is None
    assert not (tmp_path / "b" / "state_attention").exists()


def test_the_cameras_of_all_frames(tmp_path):
    frames = random_scene(tmp_path / "a", 18)
    poses, intrinsics = CacheReader(tmp_path / "a").cameras
    np.testing.assert_array_equal(poses, np.stack([f.T_world_from_cam for f in frames]))
    np.testing.assert_array_equal(intrinsics, np.stack([f.intrinsics for f in frames]))


def test_the_scene_describes_itself(tmp_path):
    info = make_info()
    with CacheWriter(tmp_path / "a", info) as writer:
        writer.append("frame-7", make_frame(info, 0))
        writer.skip("frame-8", "pose is infinite")
        writer.append("frame-9", make_frame(info, 1))
    read = CacheReader(tmp_path / "a").info
    assert read.frame_names == ("frame-7", "frame-9")
    assert read.skipped == (("frame-8", "pose is infinite"),)
    assert read.geometry == info.geometry and read.image_transform == info.image_transform
    assert (read.grid, read.units) == (info.grid, "metre")


@pytest.mark.filterwarnings("ignore:Object at manifest.json")  # Beside the arrays, and harmless.
def test_zarr_python_reads_the_store(tmp_path):
    info = make_info()
    frames = [make_frame(info, i, num_masks=40) for i in range(19)]
    write_scene(tmp_path / "a", info, frames)
    group = zarr.open_group(str(tmp_path / "a"), mode="r")
    assert group.metadata.zarr_format == 3 and group.attrs["scene"] == "room"
    assert set(group.array_keys()) == set(frame_schema(info, 2))
    for name, array in group.arrays():
        expected = np.stack([getattr(frame, name) for frame in frames])
        assert array.dtype == expected.dtype and array.shape == expected.shape
        assert array[:].tobytes() == expected.tobytes(), name
        assert array.attrs["meaning"]
    assert group["masks"].metadata.dimension_names == ("frame", "row", "column", "word")


def test_a_scene_is_a_handful_of_files(tmp_path):
    random_scene(tmp_path / "a", 32)
    files = [p for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert len(files) == 2 + 12 + 5 + 2 * 7  # Group, manifest; metadata; small arrays; shards.


def test_the_estimate_is_near_what_the_disk_holds(tmp_path):
    info = make_info(image_size=(96, 128), c3=48, c2=64, state_tokens=0)
    frame = make_frame(info, 0)
    frame = frame.replace(masks=np.zeros_like(frame.masks))
    write_scene(tmp_path / "a", info, [frame] * 32)
    disk = CacheReader(tmp_path / "a").num_bytes / 32
    assert 0.8 < disk / bytes_per_frame(info, 1) < 1.3
