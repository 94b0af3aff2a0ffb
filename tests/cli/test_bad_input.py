"""A user's mistakes: one sentence, exit code 2, nothing half-written."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from moonseg_cli.main import main
from moonseg_jax.cache import CacheReader


@pytest.fixture
def cache(recording, refused):
    """Runs ``moonseg cache`` on the spoilt recording, which must be refused without a trace."""

    def run(*words: str) -> str:
        out = recording / "new" / "cache"
        room = recording / "room"
        sentence = refused(
            "cache", f"--source={room}", f"--masks={room}/masks", f"--out={out}", *words
        )
        assert not out.exists()
        assert not out.parent.exists() or not any(out.parent.iterdir())
        return sentence

    return run


def test_missing_folder(refused, tmp_path):
    sentence = refused("cache", f"--source={tmp_path}/nothing", f"--out={tmp_path}/cache")
    assert f"{tmp_path}/nothing" in sentence


def test_no_frames(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in refused("cache", f"--source={tmp_path}/empty", f"--out={tmp_path}/cache")


def test_depth_and_colour_counts_differ(recording, cache):
    (recording / "room/depth/000003.png").unlink()
    assert "depth" in cache()


def test_bad_poses_are_skipped_and_counted(recording, capsys):
    room, out = recording / "room", recording / "new"
    (room / "pose/000001.txt").write_text("inf " * 16)
    np.savetxt(room / "pose/000002.txt", np.diag([2.0, 1, 1, 1]))
    assert main(["cache", f"--source={room}", f"--masks={room}/masks", f"--out={out}"]) == 0
    assert "000001" in capsys.readouterr().err
    info = CacheReader(out).info
    assert [name for name, _ in info.skipped] == ["000001", "000002"]
    assert info.frame_names == ("000000", "000003", "000004", "000005")


def test_eight_bit_depth(recording, cache):
    file = recording / "room/depth/000000.png"
    Image.fromarray(np.full((96, 128), 200, np.uint8)).save(file)
    assert "000000.png" in cache()


def test_truncated_depth(recording, cache):
    file = recording / "room/depth/000004.png"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert "000004.png" in cache()


def test_depth_that_is_empty_in_every_frame(recording, cache):
    for file in (recording / "room/depth").iterdir():
        Image.fromarray(np.zeros((96, 128), np.uint16)).save(file)
    assert "not one of 6 frames has a point in space" in cache()


def test_wrong_sized_masks(recording, cache):
    for file in (recording / "room/masks").iterdir():
        Image.fromarray(np.ones((50, 128), np.uint16)).save(file)
    assert "masks" in cache()


def test_unknown_backbone(cache):
    assert "cut3r" in cache("--rfm=cut3r")


def test_a_scene_without_any_mask_has_no_instances(recording):
    room, out = recording / "room", recording / "result"
    for file in (room / "masks").iterdir():
        Image.fromarray(np.zeros((96, 128), np.uint8)).save(file)
    words = [f"--source={room}", f"--masks={room}/masks", f"--out={recording}/none"]
    assert main(["cache", *words]) == 0
    assert main(["segment", f"--cache={recording}/none", f"--out={out}"]) == 0
    with np.load(out / "instances.npz") as arrays:
        assert len(arrays["scores"]) == 0
    assert main(["eval", f"--predictions={out}", f"--ground-truth={room}"]) == 0
    assert json.loads((out / "metrics.json").read_text())["ap25"] == 0


def test_cache_of_another_schema(recording, refused):
    file = recording / "cache/manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "schema_version": 999}))
    sentence = refused("segment", f"--cache={recording}/cache", f"--out={recording}/result")
    assert "999" in sentence
    assert not (recording / "result").exists()


def test_corrupted_chunk_is_named(recording, refused):
    chunk = next(f for f in (recording / "cache/features_3d/c").rglob("*") if f.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 3] ^= 255
    chunk.write_bytes(data)
    sentence = refused("segment", f"--cache={recording}/cache", f"--out={recording}/result")
    assert "features_3d" in sentence
    assert not (recording / "result").exists()


def test_no_cache(refused, tmp_path):
    sentence = refused("segment", f"--cache={tmp_path}/none", f"--out={tmp_path}/result")
    assert f"{tmp_path}/none" in sentence


def test_flags_that_a_cache_would_not_notice(recording, refused, tmp_path):
    words = [f"--cache={recording}/cache", f"--out={tmp_path}/result"]
    sentence = refused("segment", *words, "--stride=2", "--rfm-weights=w.pth")
    assert "--stride --rfm-weights cannot change" in sentence
    assert not (tmp_path / "result").exists()


def test_a_place_that_cannot_be_written_is_told_before_the_work(recording, refused, tmp_path):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "result"
    missing = f"--cache={tmp_path}/none"  # Looked for afterwards.
    assert f"{tmp_path}/file" in refused("segment", missing, f"--out={out}")
    assert main(["segment", f"--cache={recording}/cache", f"--out={tmp_path}/result"]) == 0
    words = ["export", f"--predictions={tmp_path}/result"]
    for format in ("npz", "ply", "scannet"):
        assert str(out) in refused(*words, f"--format={format}", f"--out={out}")


def test_checkpoint_of_another_feature_width(recording, refused, tmp_path):
    from flax import nnx

    from moonseg_jax.config import default_config
    from moonseg_jax.models import Core, save_weights, split_core
    from moonseg_jax.models.weights import weights_metadata

    config, info = default_config(), CacheReader(recording / "cache").info
    metadata = weights_metadata(config.model, info, recipe=config.to_dict())
    metadata["geometry"]["channels"] = 12
    core = Core(config.model, 12, info.semantics.channels, rngs=nnx.Rngs(0))
    save_weights(tmp_path / "w.safetensors", split_core(core)[1], metadata)
    words = [f"--cache={recording}/cache", f"--out={tmp_path}/result"]
    sentence = refused("segment", *words, f"--checkpoint={tmp_path}/w.safetensors")
    assert "channels 12" in sentence


def test_truncated_weights(recording, refused, tmp_path):
    from moonseg_jax.weights import FOLDER

    whole = (FOLDER / "classical.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[: len(whole) // 2])
    words = [f"--cache={recording}/cache", f"--out={tmp_path}/result"]
    assert "w.safetensors" in refused("segment", *words, f"--checkpoint={tmp_path}/w.safetensors")


def test_unknown_config_field(recording, refused, tmp_path):
    words = [f"--cache={recording}/cache", f"--out={tmp_path}/result"]
    sentence = refused("segment", *words, "--config.online.merge_treshold=0.7")
    assert "did you mean online.merge_threshold" in sentence


def test_config_value_that_is_no_choice(recording, refused, tmp_path):
    words = [f"--cache={recording}/cache", f"--out={tmp_path}/result"]
    assert "components" in refused("segment", *words, "--config.online.merge_rule=best")


def test_training_without_a_cache(refused, tmp_path):
    sentence = refused("train", f"--cache={tmp_path}/*", f"--workdir={tmp_path}/run")
    assert "moonseg cache" in sentence


def test_result_does_not_replace_a_foreign_folder(recording, refused, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/diary.txt").write_text("dear diary")
    refused("segment", f"--cache={recording}/cache", f"--out={tmp_path}/mine")
    assert (tmp_path / "mine/diary.txt").exists()


def test_predictions_that_are_none(refused, recording, tmp_path):
    truth = recording / "room"
    assert "nothing" in refused(
        "eval", f"--predictions={tmp_path}/nothing", f"--ground-truth={truth}"
    )


def test_ground_truth_without_labels(refused, recording, tmp_path):
    out = tmp_path / "result"
    assert main(["segment", f"--cache={recording}/cache", f"--out={out}"]) == 0
    shutil.rmtree(recording / "room/instance")
    (recording / "room/gt.npz").unlink()
    sentence = refused("eval", f"--predictions={out}", f"--ground-truth={recording}/room")
    assert "gt.npz" in sentence


def test_unknown_flag_is_a_usage_error():
    with pytest.raises(SystemExit) as caught:
        main(["segment", "--cache=a", "--out=b", "--colour=red"])
    assert caught.value.code == 2
