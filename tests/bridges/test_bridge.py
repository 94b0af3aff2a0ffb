import json
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from bridges.bridge import Bridge, BridgeConfig, load_backbones
from bridges.ordered import in_order
from bridges.sources import open_source
from moonseg_jax.structs import InputError, unpack_masks

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


def open_bridge(source, **config):
    config = {name: str(value) for name, value in config.items()}
    return Bridge(source, load_backbones(BridgeConfig(**config)))


def test_frames_are_as_documented(make_rgbd, make_labels):
    recording = make_rgbd(frames=3)
    bridge = open_bridge(open_source(recording.path), masks=make_labels(recording.names))
    info = bridge.info
    assert (info.image_size, info.grid, info.point_size) == ((384, 512), (24, 32), (96, 128))
    assert (info.units, info.poses, info.frame_names) == (
        "metre",
        "sensor",
        ("000000", "000001", "000002"),
    )
    assert info.image_transform == pytest.approx((6.4, 6.4, 0, 0))
    for backbone in (info.geometry, info.semantics, info.masks):
        assert json.dumps(backbone.config) and backbone.code_version
    frames = list(bridge.frames())
    assert [name for name, _ in frames] == recording.names
    for _, frame in frames:
        assert frame.features_3d.shape == (*info.grid, info.geometry.channels)
        assert frame.features_2d.shape == (*info.grid, info.semantics.channels)
        assert frame.points.shape == (*info.point_size, 3) == frame.colors.shape
        assert frame.masks.shape == (*info.mask_size, 1) and frame.masks.dtype == np.uint32
        assert frame.mask_valid.tolist() == [True] * 2 + [False] * 30
        np.testing.assert_array_equal(frame.mask_scores, frame.mask_valid.astype(np.float32))
        dtypes = {name: getattr(frame, name).dtype for name in ("features_3d", "features_2d")}
        assert set(dtypes.values()) == {np.dtype(np.float16)}
        assert frame.T_world_from_cam.dtype == frame.intrinsics.dtype == np.float32
        assert frame.timestamp.dtype == np.float64 and frame.state_attention is None
    assert frames[0][1].timestamp < frames[1][1].timestamp


def test_colors_and_masks_lie_on_the_points(make_rgbd, make_labels):
    recording = make_rgbd(frames=1)
    folder = make_labels(recording.names)
    labels = np.zeros((60, 80), np.uint8)
    labels[15:30, 20:40] = 1  # The red square of the picture.
    Image.fromarray(labels).save(folder / "000000.png")
    ((_, frame),) = open_bridge(open_source(recording.path), masks=folder).frames()
    inside = np.asarray(unpack_masks(frame.masks))[0, 1::2, 1::2]
    red = frame.colors[..., 0].astype(int) > frame.colors[..., 2].astype(int) + 85
    assert (inside != red).mean() < 0.01
    # The square's corner, (20, 15) of the source in OpenCV's edges, at depth 2 through K.
    corner = frame.points[inside].min(axis=0)[:2]
    np.testing.assert_allclose(corner, [(20 - 40) / 70 * 2, (15 - 30) / 72 * 2], atol=0.04)


def test_many_masks_survive_packing(make_rgbd, make_labels):
    recording = make_rgbd(frames=1)
    folder = make_labels(recording.names)
    labels = (np.arange(60)[:, None] // 10 * 8 + np.arange(80) // 10 + 1).astype(np.uint16)
    Image.fromarray(labels).save(folder / "000000.png")
    ((_, frame),) = open_bridge(open_source(recording.path), masks=folder).frames()
    masks = np.asarray(unpack_masks(frame.masks))
    assert frame.masks.shape[-1] == 2 and frame.mask_valid.sum() == 48
    np.testing.assert_array_equal(masks.any((1, 2)), frame.mask_valid)
    assert (masks.sum(0) == 1).all()


def test_all_maps_empty(make_rgbd, make_labels):
    recording = make_rgbd(frames=2)
    folder = make_labels(recording.names)
    for name in recording.names:
        Image.fromarray(np.zeros((60, 80), np.uint8)).save(folder / f"{name}.png")
    for _, frame in open_bridge(open_source(recording.path), masks=folder).frames():
        assert frame.masks.shape[-1] == 1 and not frame.masks.any() and not frame.mask_valid.any()


def test_skipped_frames_are_told(make_rgbd):
    recording = make_rgbd(frames=3)
    (recording.path / "pose" / "000000.txt").write_text("inf " * 16)
    bridge = open_bridge(open_source(recording.path))
    assert [name for name, _ in bridge.frames()] == ["000001", "000002"]
    assert bridge.skipped == [("000000", "pose not finite")] == list(bridge.info.skipped)


def test_a_broken_frame_ends_the_run_by_name(make_rgbd):
    recording = make_rgbd(frames=3)
    path = recording.file("color", 1)
    path.write_bytes(path.read_bytes()[:50])
    frames = open_bridge(open_source(recording.path)).frames()
    with pytest.raises(InputError, match=r"color/000001\.png"):
        list(frames)


@pytest.mark.parametrize(
    ("missing", "words"),
    [("depth", "no depth,"), ("pose", "no poses,"), ("intrinsics.txt", "no intrinsics,")],
)
def test_what_the_sensor_lacks(make_rgbd, missing, words):
    recording = make_rgbd(frames=1)
    path = recording.path / missing
    path.rename(path.with_name("away"))
    with pytest.raises(InputError, match=rf"room has {words} and --rfm=sensor needs depth"):
        open_bridge(open_source(recording.path))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"rfm": "gps"}, "--rfm=gps is unknown: use sensor or cut3r or mini"),
        ({"semantic": "clip"}, "--semantic=clip is unknown: use classical or dinov3 or mini"),
        ({"update_rule": "no"}, "--update-rule=no is unknown"),
        ({"masks": "no/folder"}, "no/folder is not a folder of PNG files"),
    ],
)
def test_what_is_not_installed(make_rgbd, kwargs, message):
    with pytest.raises(InputError, match=message):
        open_bridge(open_source(make_rgbd(frames=1).path), **kwargs)


@pytest.mark.parametrize(
    ("setting", "used"),
    [
        ({"device": "cuda"}, {"masks": "fastsam"}),
        ({"dtype": "bfloat16"}, {"semantic": "dinov3"}),
        ({"rfm_weights": "w.pth"}, {"rfm": "cut3r"}),
        ({"semantic_weights": "w.pth"}, {"semantic": "dinov3"}),
        ({"mask_weights": "w.pt"}, {"masks": "sam2"}),
        ({"state_attention": True}, {"rfm": "cut3r"}),
        ({"update_rule": "ttt3r"}, {"rfm": "cut3r"}),
        ({"reset_every": 9}, {"rfm": "cut3r"}),
        ({"reset_every": 9}, {"rfm": "mini"}),
        ({"align_poses": True}, {"rfm": "cut3r"}),
        ({"align_poses": False}, {"rfm": "mini"}),
        ({"semantic_weights": "w.safetensors"}, {"semantic": "mini"}),
        ({"device": "cuda"}, {"semantic": "mini"}),
        ({"mask_weights": "w.safetensors"}, {"masks": "mini"}),
    ],
)
def test_a_setting_that_no_model_would_notice(setting, used):
    with pytest.raises(InputError, match="would change nothing"):
        BridgeConfig(**setting)
    BridgeConfig(**setting, **used)
    BridgeConfig(device="cpu")


def test_a_setting_of_one_role_is_no_other_ones():
    with pytest.raises(InputError, match=r"--update-rule .* for --rfm=cut3r\|mini: leave it out"):
        BridgeConfig(semantic="mini", update_rule="ttt3r")
    assert BridgeConfig(rfm="mini", update_rule="ttt3r").neural == {"mini"}


def test_a_numbered_gpu_is_taken_in_the_thread_that_uses_it(monkeypatch):
    taken = []
    monkeypatch.setattr("torch.cuda.set_device", taken.append)
    backbones = load_backbones(BridgeConfig())
    assert taken == []
    backbones._device = "cuda:1"
    backbones.take_device()
    assert taken == ["cuda:1"]


@pytest.mark.parametrize(
    ("device", "gpus", "there"),
    [
        ("cuda", 0, "auto or cpu;"),
        ("cuda:2", 2, "auto or cpu or cuda or cuda:0 or cuda:1;"),
        ("gpu", 1, "auto or cpu or cuda or cuda:0;"),
    ],
)
def test_a_device_that_is_not_there(monkeypatch, device, gpus, there):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    with pytest.raises(InputError, match=rf"--device={device} is no device .*: use {there}"):
        load_backbones(BridgeConfig(masks="fastsam", device=device))


def test_in_order_keeps_order_and_bounds_what_is_ahead():
    started, release = [], threading.Event()

    def task(i):
        started.append(i)
        if i == 0:
            release.wait(5)
        return i

    def tasks():
        for i in range(20):
            if i == 4:
                release.set()
            yield partial(task, i)

    results = in_order(tasks(), threads=3, ahead=5)
    assert next(results) == 0
    assert max(started) <= 4
    assert list(results) == list(range(1, 20))


def test_in_order_passes_on_errors_in_their_turn():
    def fail():
        raise InputError("two")

    results = in_order([lambda: 1, fail, lambda: 3], threads=2, ahead=3)
    assert next(results) == 1
    with pytest.raises(InputError, match="two"):
        next(results)


@pytest.mark.skipif(not (SHARED / "redkitchen").is_dir(), reason="the recording is not here")
def test_a_real_kitchen():
    source = open_source(SHARED / "redkitchen", stride=60)
    assert source.kind == "seven_scenes" and not source.skipped
    frames = dict(open_bridge(source).frames())
    assert list(frames) == ["frame-000000", "frame-000480", "frame-000960"]
    for frame in frames.values():
        assert 0.6 < (frame.confidence > 0).mean() < 0.99
        depth = np.linalg.norm(frame.points - frame.T_world_from_cam[:3, 3], axis=-1)
        assert 0.3 < np.nanmedian(depth) < 5
        assert 10 < frame.mask_valid.sum() < 100


@pytest.mark.skipif(not (SHARED / "living").is_dir(), reason="the rendering is not here")
def test_a_rendered_room_with_its_label_maps():
    source = open_source(SHARED / "living", stride=40)
    bridge = open_bridge(source, masks=SHARED / "living" / "instance")
    gt = cKDTree(np.load(SHARED / "living" / "gt.npz")["points"])
    for _, frame in bridge.frames():
        assert frame.mask_valid.sum() > 3
        distance, _ = gt.query(frame.points[frame.confidence > 0][::7])
        assert np.median(distance) < 0.02
