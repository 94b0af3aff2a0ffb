"""What a user may do wrong or a disk may do to a cache: each is one sentence, naming the file."""

import json
import re

import numpy as np
import pytest

from moonseg_jax.cache import CacheReader, CacheWriter
from moonseg_jax.structs import Backbone, InputError
from tests.cache.scenes import make_frame, make_info, random_scene, same_bits


def edit_manifest(path, **changes):
    file = path / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def flip_bit(file, offset):
    data = bytearray(file.read_bytes())
    data[offset] ^= 4
    file.write_bytes(data)


@pytest.fixture
def scene(tmp_path):
    random_scene(tmp_path / "a", 20, num_masks=40)
    return tmp_path / "a"


def test_no_such_cache(tmp_path):
    with pytest.raises(InputError, match="no such cache"):
        CacheReader(tmp_path / "a")


def test_other_schema_version(scene):
    edit_manifest(scene, schema_version=7)
    with pytest.raises(InputError, match=f"{scene}: schema version 7"):
        CacheReader(scene)


@pytest.mark.parametrize("content", [None, "", "[1]", '{"format": "other"}'])
def test_half_written(scene, content):
    file = scene / "manifest.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(InputError, match=f"{scene}: no readable manifest"):
        CacheReader(scene)


@pytest.mark.parametrize(
    "changes", [{"frames": 21}, {"arrays": {}}, {"info": {}}, {"files": 3}, {"words": 0}]
)
def test_damaged_manifest(scene, changes):
    edit_manifest(scene, **changes)
    with pytest.raises(InputError, match=r"manifest\.json"):
        CacheReader(scene)


@pytest.mark.parametrize(
    "name,what",
    [
        ("features_3d/c/1/0/0/0", "features_3d, frames 16 to 19"),
        ("masks/c/0/0/0/1", "masks, frames 0 to 15"),
        ("timestamp/c/0", "timestamp, all frames"),
        ("points/zarr.json", "metadata"),
    ],
)
def test_missing_and_truncated_files_are_found_on_opening(scene, name, what):
    file = scene / name
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(InputError, match=re.escape(f"{file}: {len(data) - 1} bytes instead of")):
        CacheReader(scene)
    file.unlink()
    with pytest.raises(InputError, match=re.escape(f"{file}: missing ({what})")):
        CacheReader(scene)


def test_a_corrupt_chunk_is_named(scene):
    frame_bytes = 2 * 3 * 6 * 2 + 4
    flip_bit(scene / "features_3d/c/0/0/0/0", 5 * frame_bytes + 10)
    reader = CacheReader(scene)
    expected = re.escape(f"{scene}/features_3d/c/0/0/0/0: cannot be read (features_3d, frame 5)")
    with pytest.raises(InputError, match=expected):
        reader.clip(0, 16)
    with pytest.raises(InputError, match=expected):
        reader.frame(5)
    with pytest.raises(InputError, match=expected):
        list(reader.frames())
    with pytest.raises(InputError, match=r"features_3d/c/0/0/0/0: corrupt \(features_3d, frames 0"):
        reader.verify()
    reader.clip(6, 10)


def test_the_corrupt_mask_word_is_named(scene):
    flip_bit(scene / "masks/c/1/0/0/1", 3)
    with pytest.raises(InputError, match=r"masks/c/1/0/0/1: .*\(masks, frame 16\)"):
        CacheReader(scene).clip(10, 10)


def test_a_corrupt_small_array_is_named(scene):
    flip_bit(scene / "T_world_from_cam/c/0/0/0", 100)
    with pytest.raises(InputError, match=r"T_world_from_cam/c/0/0/0.*T_world_from_cam, all"):
        CacheReader(scene).frame(0)


def test_a_shard_that_goes_away_under_the_reader_is_not_zeros(scene):
    reader = CacheReader(scene)
    (scene / "colors/c/1/0/0/0").unlink()
    with pytest.raises(InputError, match=r"colors/c/1/0/0/0: .*\(colors, frame 16\)"):
        reader.clip(14, 4)


def test_verify_finds_damaged_metadata(scene):
    reader = CacheReader(scene)
    flip_bit(scene / "points/zarr.json", 20)
    with pytest.raises(InputError, match=r"points/zarr.json: corrupt"):
        reader.verify()


@pytest.mark.parametrize(
    "field,value",
    [
        ("features_3d", np.zeros((2, 3, 7), np.float16)),
        ("features_2d", np.zeros((2, 3, 4), np.float32)),
        ("points", np.zeros((4, 6), np.float32)),
        ("colors", np.zeros((4, 6, 3), np.int8)),
        ("mask_valid", np.zeros(31, bool)),
        ("masks", np.zeros((7, 12, 1), np.uint32)),
        ("state_attention", None),
        ("timestamp", np.zeros(1)),
    ],
)
def test_a_frame_of_another_shape_or_dtype(tmp_path, field, value):
    info = make_info()
    frame = make_frame(info, 0).replace(**{field: value})
    with (
        pytest.raises(ValueError, match=f"frame x: {field} is"),
        CacheWriter(tmp_path / "a", info) as writer,
    ):
        writer.append("x", frame)
    assert list(tmp_path.iterdir()) == []


def test_state_attention_of_a_scene_without_tokens(tmp_path):
    frame = make_frame(make_info(), 0)
    with (
        pytest.raises(ValueError, match="no state tokens"),
        CacheWriter(tmp_path / "a", make_info(state_tokens=0)) as writer,
    ):
        writer.append("x", frame)


def test_sizes_and_provenance_that_cannot_be_stored(tmp_path):
    with pytest.raises(ValueError, match="positive"):
        CacheWriter(tmp_path / "a", make_info(c3=0))
    with pytest.raises(TypeError):
        CacheWriter(tmp_path / "a", make_info(masks=Backbone("x", 0, {"rule": object()})))


def test_no_frames(tmp_path):
    with (
        pytest.raises(InputError, match=r"here: no frame to cache$"),
        CacheWriter(tmp_path / "a", make_info()),
    ):
        pass
    with (
        pytest.raises(InputError, match="the first of 2 skipped: 07: pose is infinite"),
        CacheWriter(tmp_path / "a", make_info()) as writer,
    ):
        writer.skip("07", "pose is infinite")
        writer.skip("08", "no depth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder", "half a cache"])
def test_what_is_not_a_cache_is_not_overwritten(tmp_path, kind):
    path = tmp_path / "a"
    if kind == "file":
        path.write_text("thesis")
    else:
        path.mkdir()
        (path / ("notes.txt" if kind == "folder" else "zarr.json")).write_text("thesis")
    before = sorted(tmp_path.rglob("*"))
    with (
        pytest.raises(InputError, match="exists and is not a cache"),
        CacheWriter(path, make_info()),
    ):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="file is not a folder that you may write to"),
        CacheWriter(tmp_path / "file" / "a", make_info()),
    ):
        pass


def test_an_older_cache_is_replaced_on_commit_only(tmp_path):
    old = random_scene(tmp_path / "a", 3)
    info = make_info(state_tokens=0)
    with CacheWriter(tmp_path / "a", info) as writer:
        writer.append("x", make_frame(info, 99))
        assert same_bits(old[2], CacheReader(tmp_path / "a").frame(2))
    assert CacheReader(tmp_path / "a").info.frame_names == ("x",)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
