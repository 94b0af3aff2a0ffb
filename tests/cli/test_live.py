"""Without a cache between: the same result as through one."""

import json

import numpy as np
import pytest
from PIL import Image

from moonseg_cli.main import main
from moonseg_jax.cache import CacheReader


def _arrays(result):
    with np.load(result / "instances.npz") as arrays:
        found = dict(arrays)
    frames = sorted((result / "frames").glob("*.png"))
    return found | {file.name: np.asarray(Image.open(file)) for file in frames}


def _both_ways(room, out, *backbones):
    """Results of the same recording through a cache, and live."""
    assert main(["cache", f"--source={room}", f"--out={out}/cache", *backbones]) == 0
    rest = "--checkpoint=none"
    assert main(["segment", f"--cache={out}/cache", f"--out={out}/cached", rest]) == 0
    words = [f"--source={room}", f"--out={out}/live", rest, *backbones]
    assert main(["segment", *words]) == 0
    cached, live = _arrays(out / "cached"), _arrays(out / "live")
    assert cached.keys() == live.keys() and len(cached["scores"]) > 0
    for name, array in cached.items():
        np.testing.assert_array_equal(array, live[name], err_msg=name)
    return CacheReader(out / "cache").info


def test_measured_geometry(pristine, tmp_path, capsys):
    info = _both_ways(pristine / "room", tmp_path, f"--masks={pristine}/{{scene}}/masks")
    record = json.loads((tmp_path / "live" / "result.json").read_text())
    assert record["cache"] == ""
    assert tuple(record["info"]["frame_names"]) == info.frame_names
    assert (tmp_path / "live" / "picture.png").stat().st_size > 0
    printed = capsys.readouterr().out
    for stage in ("frames/s", "image", "geometry", "semantics", "masks"):
        assert stage in printed


@pytest.mark.usefixtures("found_weights")
def test_predicted_geometry_with_state_tokens(pristine, tmp_path):
    info = _both_ways(pristine / "room", tmp_path, "--rfm=cut3r", "--with-state-attention")
    assert (info.units, info.poses, info.state_tokens) == ("scene", "predicted", 10)
    assert info.image_size == (48, 64) and info.geometry.channels == 48
    assert info.geometry.weights_sha256 and info.geometry.config["update_rule"] == "cut3r"
    assert _arrays(tmp_path / "live")["tokens"].shape[1] == 10


@pytest.mark.usefixtures("found_weights")
def test_images_alone_are_enough(pristine, tmp_path, refused):
    words = (f"--source={pristine}/room/color", f"--out={tmp_path}/live", "--rfm=cut3r")
    assert main(["segment", *words, "--checkpoint=none"]) == 0
    assert _arrays(tmp_path / "live")["points"].shape[1] == 3
    assert "--checkpoint" in refused("segment", *words)


def test_a_source_without_depth_says_what_would_do(pristine, tmp_path, refused):
    words = (f"--source={pristine}/room/color", f"--out={tmp_path}/live")
    assert "--rfm=cut3r" in refused("segment", *words)
    assert not (tmp_path / "live").exists()


@pytest.mark.parametrize("both", [True, False])
def test_a_cache_or_a_source(pristine, tmp_path, both, capsys):
    words = [f"--cache={pristine}/cache", f"--source={pristine}/room"] if both else []
    with pytest.raises(SystemExit, match="2"):
        main(["segment", *words, f"--out={tmp_path}/out"])
    assert "--cache" in capsys.readouterr().err
