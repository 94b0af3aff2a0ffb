"""Arrays pushed one by one give what the same frames of a recording give, or a clear sentence."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bridges import Bridge, BridgeConfig, CameraBridge, load_backbones, open_source
from moonseg_jax.structs import InputError
from tests.bridges.conftest import K_OPENCV

ROOT = Path(__file__).parents[2]
FIELDS = ("features_3d", "features_2d", "points", "confidence", "colors", "masks", "mask_scores",
          "T_world_from_cam", "intrinsics")  # fmt: skip


@pytest.fixture(scope="module")
def backbones():
    return load_backbones(BridgeConfig())


@pytest.fixture
def good():
    """Arguments of `push` that are fine."""
    return {
        "rgb": np.kron(np.arange(12).reshape(3, 4) * 20, np.ones((20, 20)))
        .astype(np.uint8)[..., None]
        .repeat(3, axis=-1),
        "depth": np.full((60, 80), 1.5, np.float32),
        "T_world_from_cam": np.eye(4),
        "intrinsics": K_OPENCV,
    }


def push(backbones, **arrays):
    bridge = CameraBridge((60, 80), backbones)
    try:
        return bridge.push(**arrays)
    finally:
        bridge.close()


@pytest.mark.parametrize("millimetres", [False, True])
def test_pushed_arrays_are_the_frames_of_the_recording(make_rgbd, backbones, millimetres):
    root = make_rgbd(frames=3).path
    bridge = Bridge(open_source(root), backbones)
    camera = CameraBridge((60, 80), backbones)
    assert camera.info.grid == bridge.info.grid
    assert camera.info.geometry == bridge.info.geometry
    for source, (_, expected) in zip(open_source(root), bridge.frames(), strict=True):
        depth = source.depth
        if millimetres:
            depth = np.rint(np.nan_to_num(depth) * 1000).astype(np.uint16)
        frame = camera.push(source.image, depth, source.T_world_from_cam, K_OPENCV, 3.5)
        for name in FIELDS:
            found, wanted = getattr(frame, name), getattr(expected, name)
            np.testing.assert_array_equal(found, wanted, err_msg=name)
        assert frame.timestamp == 3.5
    camera.close()


def test_invalid_depth(backbones, good):
    good["depth"][:15], good["depth"][15:30], good["depth"][30:45] = 0, np.nan, np.inf
    valid = push(backbones, **good).confidence > 0
    assert valid.any() and valid.mean() < 0.3


def test_time_is_counted_where_none_is_given(backbones, good):
    camera = CameraBridge((60, 80), backbones)
    first, second = (float(camera.push(**good).timestamp) for _ in range(2))
    assert 0 <= first < second
    camera.close()


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("rgb", lambda x: x / 255, r"rgb is float64 60x80x3: push uint8 60x80x3"),
        ("rgb", lambda x: x[..., 0], r"rgb is uint8 60x80: "),
        ("rgb", lambda x: x[:30], r"rgb is uint8 30x80x3: "),
        ("rgb", lambda x: x.tolist(), r"rgb is a list: "),
        ("depth", lambda x: x.astype(int), r"depth is int64 60x80: push \[H W\], float metres"),
        ("depth", lambda x: x[..., None], r"depth is float32 60x80x1: "),
        ("depth", lambda x: x * 1000, r"nowhere under 100 m"),
        ("depth", lambda x: x[:30], r"depth is 80x30 and the image 80x60: register"),
        ("depth", lambda x: None, r"depth not given, which rfm='sensor' needs"),
        ("T_world_from_cam", lambda x: x[:3], r"T_world_from_cam is float64 3x4: push a 4x4"),
        ("T_world_from_cam", lambda x: x * np.nan, r"T_world_from_cam: pose not finite"),
        ("T_world_from_cam", lambda x: x * 2, r"T_world_from_cam: pose not rigid"),
        ("T_world_from_cam", lambda x: None, r"T_world_from_cam not given"),
        ("intrinsics", lambda x: np.zeros((3, 3)), r"intrinsics is not an intrinsics matrix"),
        ("intrinsics", lambda x: 4.0, r"intrinsics is a float: push a 3x3 matrix"),
        ("intrinsics", lambda x: x * [[3], [3], [1]], r"principal point .* outside the 80x60"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(backbones, good, name, change, sentence):
    camera = CameraBridge((60, 80), backbones)
    with pytest.raises(InputError, match=sentence):
        camera.push(**good | {name: change(good[name])})
    camera.push(**good)  # Nothing was changed.
    camera.close()


def test_a_folder_of_masks_is_refused(tmp_path):
    with pytest.raises(InputError, match="not known beforehand: use felzenszwalb or fastsam"):
        CameraBridge((60, 80), load_backbones(BridgeConfig(masks=str(tmp_path))))


def test_closed(backbones, good):
    camera = CameraBridge((60, 80), backbones)
    camera.push(**good)
    camera.close()
    with pytest.raises(RuntimeError, match="closed"):
        camera.push(**good)


def test_a_process_ends_quietly_without_close():
    code = """
import numpy as np
from bridges import BridgeConfig, CameraBridge, load_backbones
camera = CameraBridge((60, 80), load_backbones(BridgeConfig()))
K = np.array([[70, 0, 39.5], [0, 72, 29.5], [0, 0, 1]])
camera.push(np.zeros((60, 80, 3), np.uint8), np.ones((60, 80)), np.eye(4), K)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
