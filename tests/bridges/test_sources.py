import numpy as np
import pytest
from PIL import Image

from bridges.sources import list_scenes, open_source, scene_name
from moonseg_jax.structs import InputError
from tests.bridges.conftest import K_OPENCV, Sens, pose_of


def test_posed_rgbd(make_rgbd):
    recording = make_rgbd(frames=3)
    source = open_source(recording.path)
    frames = list(source)
    assert (source.kind, len(source), source.lacks) == ("posed_rgbd", 3, ())
    assert [f.name for f in frames] == recording.names == list(source.names)
    first = frames[0]
    assert first.image.shape == (60, 80, 3) and first.image.dtype == np.uint8
    assert first.depth.dtype == np.float32
    assert np.isnan(first.depth[:4, :4]).all() and np.isnan(first.depth).sum() == 16
    np.testing.assert_allclose(first.depth[30, 40], 2.0, atol=1e-3)
    np.testing.assert_allclose(frames[2].T_world_from_cam, pose_of(2), atol=1e-9)
    np.testing.assert_allclose(first.intrinsics[:2, 2], K_OPENCV[:2, 2] + 0.5)
    assert [f.timestamp for f in frames] == sorted({f.timestamp for f in frames})


def test_can_be_read_twice(make_rgbd):
    source = open_source(make_rgbd(frames=2).path)
    assert [f.name for f in source] == [f.name for f in source]


def test_stride_then_max_frames_and_the_rest_is_never_opened(make_rgbd):
    recording = make_rgbd(frames=7)
    for index in (1, 2, 4, 6):
        recording.file("color", index).write_bytes(b"not an image")
    source = open_source(recording.path, stride=3, max_frames=2)
    assert [f.name for f in source] == ["000000", "000003"]
    assert len(source.all_names) == 7


def test_seven_scenes(make_rgbd, tmp_path):
    recording = make_rgbd(frames=3)
    folder = tmp_path / "scenes"
    folder.mkdir()
    for index, number in enumerate((0, 8, 120)):
        stem = folder / f"frame-{number:06d}"
        recording.file("color", index).rename(f"{stem}.color.png")
        recording.file("pose", index).rename(f"{stem}.pose.txt")
        depth = np.array(Image.open(recording.file("depth", index)))
        depth[-1] = 65535
        Image.fromarray(depth).save(f"{stem}.depth.png")
    (folder / "camera-intrinsics.txt").write_text((recording.path / "intrinsics.txt").read_text())
    source = open_source(folder)
    frames = list(source)
    assert source.kind == "seven_scenes"
    assert [f.name for f in frames] == ["frame-000000", "frame-000008", "frame-000120"]
    assert frames[2].timestamp == pytest.approx(4.0)
    assert np.isnan(frames[0].depth[-1]).all() and np.isfinite(frames[0].depth[-2]).all()


def test_seven_scenes_default_intrinsics(tmp_path):
    image = np.zeros((480, 640, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "frame-000000.color.jpg")
    Image.fromarray(np.full((480, 640), 1000, np.uint16)).save(tmp_path / "frame-000000.depth.png")
    np.savetxt(tmp_path / "frame-000000.pose.txt", np.eye(4))
    (frame,) = open_source(tmp_path)
    expected = [[585, 0, 320.5], [0, 585, 240.5], [0, 0, 1]]
    np.testing.assert_allclose(frame.intrinsics, expected)


def test_images_in_natural_order_and_any_mode(tmp_path):
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(grey).save(tmp_path / "shot_10.png")
    Image.fromarray(np.dstack([grey] * 4)).save(tmp_path / "shot_2.png")
    Image.fromarray(grey.astype(np.uint16) << 8).save(tmp_path / "shot_11.png")
    palette = Image.fromarray(np.dstack([grey] * 3)).quantize(256)
    palette.save(tmp_path / "shot_12.png", transparency=bytes(range(256)))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._shot_1.png").write_bytes(b"left by a file manager")
    source = open_source(tmp_path)
    frames = list(source)
    assert (source.kind, source.lacks) == ("images", ("depth", "poses", "intrinsics"))
    assert [f.name for f in frames] == ["shot_2", "shot_10", "shot_11", "shot_12"]
    for frame in frames:
        np.testing.assert_array_equal(frame.image, np.dstack([grey] * 3))


def test_exif_orientation_is_applied(tmp_path):
    image = np.zeros((6, 8, 3), np.uint8)
    image[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by 90 degrees clockwise to view.
    Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    (frame,) = open_source(tmp_path)
    assert frame.image.shape == (8, 6, 3)
    assert (frame.image[:, -1] == 255).all() and (frame.image[:, :-1] == 0).all()


def _write_pose(recording, index, T):
    np.savetxt(recording.path / "pose" / f"{recording.names[index]}.txt", T)


def test_unusable_poses_are_skipped_with_reasons(make_rgbd):
    recording = make_rgbd(frames=8)
    _write_pose(recording, 1, np.full((4, 4), -np.inf))
    _write_pose(recording, 2, np.diag([2.0, 2, 2, 1]))
    _write_pose(recording, 3, np.diag([1.0, 1, -1, 1]))
    recording.file("pose", 4).unlink()
    recording.file("pose", 5).write_text("1 0 0\n")
    _write_pose(recording, 6, np.diag([1.004, 1, 1, 1]))  # Rounded, yet rigid enough.
    source = open_source(recording.path)
    assert [f.name for f in source] == ["000000", "000006", "000007"] and len(source) == 3
    assert dict(source.skipped) == {
        "000001": "pose not finite",
        "000002": "pose not rigid",
        "000003": "pose not rigid",
        "000004": "pose missing",
        "000005": "pose not a 4x4 matrix in 000005.txt",
    }


def test_all_poses_unusable(make_rgbd):
    recording = make_rgbd(frames=2)
    for index in range(2):
        _write_pose(recording, index, np.full((4, 4), np.nan))
    with pytest.raises(InputError, match=r"no frame with a usable pose.*000000, pose not finite"):
        open_source(recording.path)


def test_missing_path(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        open_source(tmp_path / "nowhere")


def test_no_frames(tmp_path):
    with pytest.raises(InputError, match="holds no frames"):
        open_source(tmp_path)
    (tmp_path / "color").mkdir()
    with pytest.raises(InputError, match="holds no frames"):
        open_source(tmp_path)


def test_neither_folder_nor_video(tmp_path):
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(InputError, match=r"a\.doc is neither a folder nor a \.sens"):
        open_source(tmp_path / "a.doc")


@pytest.mark.parametrize("kwargs", [{"stride": 0}, {"max_frames": -1}])
def test_senseless_selection(tmp_path, kwargs):
    with pytest.raises(InputError, match="give a stride of 1 or more"):
        open_source(tmp_path, **kwargs)


def test_depth_colour_mismatch(make_rgbd):
    recording = make_rgbd(frames=3)
    recording.file("depth", 1).unlink()
    with pytest.raises(
        InputError, match=r"3 colour images and 2 depth maps, and no depth for.*001"
    ):
        open_source(recording.path)


def test_the_same_frame_twice(make_rgbd):
    recording = make_rgbd(frames=1)
    Image.new("RGB", (80, 60)).save(recording.path / "color" / "000000.jpg")
    with pytest.raises(InputError, match="same frame twice"):
        open_source(recording.path)


def test_8_bit_depth(make_rgbd):
    recording = make_rgbd(frames=2)
    Image.new("L", (80, 60)).save(recording.file("depth", 1))
    with pytest.raises(InputError, match=r"depth/000001\.png is not a 16-bit"):
        list(open_source(recording.path))


def test_depth_in_metres_is_told_when_the_recording_is_opened(make_rgbd):
    recording = make_rgbd(frames=2)
    Image.fromarray(np.full((60, 80), 3, np.uint16)).save(recording.file("depth", 0))
    with pytest.raises(InputError, match=r"000000\.png: half .* nearer than 3 mm: write depth in"):
        open_source(recording.path)
    Image.fromarray(np.zeros((60, 80), np.uint16)).save(recording.file("depth", 0))
    assert len(open_source(recording.path)) == 2  # A camera may see nothing at first.


@pytest.mark.parametrize("kind", ["color", "depth"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_truncated_png_is_named(make_rgbd, kind, share):
    recording = make_rgbd(frames=3)
    path = recording.file(kind, 2)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=rf"{kind}/000002\.png cannot be read as an image"):
        list(open_source(recording.path))


def test_truncated_jpg_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    for name in ("a", "b"):
        Image.fromarray(noise).save(tmp_path / f"{name}.jpg")
    data = (tmp_path / "b.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"b\.jpg cannot be read as an image"):
        list(open_source(tmp_path))


def test_depth_of_another_field_of_view(make_rgbd):
    recording = make_rgbd(frames=1, depth_size=(60, 70))
    with pytest.raises(InputError, match="70x60 and the colour image 80x60: register"):
        list(open_source(recording.path))


def test_images_of_different_sizes(tmp_path):
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    Image.new("RGB", (60, 80)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png is 60x80 and .*a\.png 80x60"):
        list(open_source(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("585 0 320", "does not hold nine finite numbers"),
        ("fx 0 cx 0 fy cy 0 0 1", "does not hold nine finite numbers"),
        ("nan 0 40 0 70 30 0 0 1", "does not hold nine finite numbers"),
        ("-70 0 40 0 70 30 0 0 1", "is not an intrinsics matrix"),
        ("70 40 0 0 70 30 1 0 0", "is not an intrinsics matrix"),
        ("585 0 320 0 585 240 0 0 1", "principal point .320, 240. .*outside the 80x60"),
    ],
)
def test_bad_intrinsics(make_rgbd, text, message):
    recording = make_rgbd(frames=1)
    (recording.path / "intrinsics.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        open_source(recording.path)


def test_list_scenes_of_data_sets(make_rgbd, tmp_path):
    root = tmp_path / "data"
    for scene in ("scene0001_00", "scene0000_00", "scene0010_00"):  # As ScanNet's scans/.
        (root / "scans" / scene).mkdir(parents=True)
        Sens().write(root / "scans" / scene / f"{scene}.sens")
    (root / "scans" / "scene0002_00").mkdir()  # Its download broke off.
    for scene in ("redkitchen/seq-01", "redkitchen/seq-12", "chess/seq-02"):
        (root / "7scenes" / scene).mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(root / "7scenes" / scene / "frame-000000.color.jpg")
    Image.new("RGB", (8, 6)).save(root / "7scenes" / "preview.png")
    for scene in ("011", "005"):
        (root / "scenenn" / scene / "image").mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(root / "scenenn" / scene / "image" / "image00001.png")
    (root / "scenenn" / "oni").mkdir()

    def names(where):
        return [str(scene.relative_to(root)) for scene in list_scenes(where)]

    scans = [f"scans/scene{i:04d}_00" for i in (0, 1, 10)]
    assert names(root / "scans") == scans
    assert names(str(root / "scans" / "scene00*")) == scans
    assert names(root / "scans" / "*" / "*.sens") == [f"{scan}/{scan[6:]}.sens" for scan in scans]
    assert names(root / "scans" / "scene0001_00") == scans[1:2]
    kitchens = ["7scenes/chess/seq-02", "7scenes/redkitchen/seq-01", "7scenes/redkitchen/seq-12"]
    assert names(root / "7scenes") == kitchens
    assert names(root / "7scenes" / "red*") == kitchens[1:]
    assert names(root / "scenenn") == ["scenenn/005", "scenenn/011"]
    assert names(root) == [*kitchens, *scans, "scenenn/005", "scenenn/011"]
    for scene in list_scenes(root / "scans"):
        assert len(open_source(scene)) == 3
    room = make_rgbd(frames=1).path
    assert list_scenes(room) == [room] == list_scenes(str(room.parent / "ro[o]m"))


def test_list_scenes_of_images_and_videos(tmp_path):
    photos = tmp_path / "photos"
    (photos / "masks").mkdir(parents=True)
    for folder in (photos, photos / "masks"):
        Image.new("RGB", (8, 6)).save(folder / "0.png")
    (photos / "clip.mp4").touch()
    assert list_scenes(photos) == [photos]
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("b10.mov", "b9.MP4", "notes.doc"):
        (videos / name).touch()
    assert list_scenes(videos) == [videos / "b9.MP4", videos / "b10.mov"]


def test_list_scenes_of_a_file(make_rgbd, tmp_path):
    room, hall = make_rgbd(frames=1).path, make_rgbd(frames=1, name="hall").path
    listed = tmp_path / "split.txt"
    listed.write_text(f"# validation\nroom\n\n{hall}  # absolute\n")
    assert list_scenes(str(listed)) == [room, hall]
    listed.write_text("room\nkitchen\n")
    with pytest.raises(InputError, match=r"split\.txt, line 2: .*kitchen is not a recording"):
        list_scenes(listed)
    listed.write_text("# nothing\n")
    with pytest.raises(InputError, match=r"split\.txt lists no recording"):
        list_scenes(listed)


@pytest.mark.parametrize("where", ["nowhere", "no*where", "."])
def test_list_scenes_finds_none(tmp_path, where):
    with pytest.raises(InputError, match="names no recording"):
        list_scenes(tmp_path / where)


def test_images_in_a_folder_of_a_recording_are_called_by_the_recording(tmp_path):
    folder = tmp_path / "room7" / "color"
    folder.mkdir(parents=True)
    (tmp_path / "room8.sens").touch()
    assert scene_name(folder) == scene_name(folder.parent) == "room7"
    assert scene_name(tmp_path / "room8.sens") == "room8"
