import dataclasses
import json

import numpy as np
import pytest
from plyfile import PlyData

from moonseg_jax.cache import CacheReader
from moonseg_jax.eval.predictions import read_predictions, write_metrics, write_predictions
from moonseg_jax.structs import InputError
from tests.eval.conftest import CENTRES, cropped, perfect_scene, render


def test_reads_back_what_was_written(recording):
    scene, read = perfect_scene(), read_predictions(recording.result)
    for field in ("points", "colors", "instance", "scores", "queries", "tokens", "boxes",
                  "observations", "first_frame", "last_frame"):  # fmt: skip
        expected, found = getattr(scene, field), getattr(read, field)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    for i, expected in enumerate(scene.label_maps()):
        np.testing.assert_array_equal(read.label_map(i), expected)
        assert read.label_map(i).dtype == np.uint16
    np.testing.assert_allclose(read.T_world_from_cam[:, :3, 3], CENTRES, rtol=1e-6)
    assert read.intrinsics.shape == (5, 3, 3)
    assert read.info == recording.info
    assert read.cache == str(recording.cache)
    assert (read.config, read.checkpoint) == ({"online": {"min_observations": 2}}, "none")
    assert read.num_instances == 3


def test_large_ids_survive_the_png(recording):
    scene = perfect_scene()
    labels = cropped(render(CENTRES[0], 0.5)[1]).astype(np.uint16)
    labels[0, 0] = 65535
    scene.label_maps = lambda: iter([labels] * 5)
    write_predictions(recording.result, scene, CacheReader(recording.cache), config={},
                      checkpoint="")  # fmt: skip
    np.testing.assert_array_equal(read_predictions(recording.result).label_map(2), labels)


def test_cloud_is_there_for_viewers(recording):
    vertex = PlyData.read(recording.result / "scene.ply")["vertex"]
    scene = perfect_scene()
    np.testing.assert_array_equal(vertex["x"], scene.points[:, 0])
    np.testing.assert_array_equal(vertex["instance"], scene.instance)
    assert vertex["red"].dtype == np.uint8


def test_replaces_a_result_and_nothing_else(recording, tmp_path):
    reader = CacheReader(recording.cache)
    (recording.result / "metrics.json").write_text("{}")
    write_predictions(recording.result, perfect_scene(), reader, config={}, checkpoint="b")
    assert read_predictions(recording.result).checkpoint == "b"
    assert not (recording.result / "metrics.json").exists()
    for occupied in (recording.folder, recording.folder / "gt.npz"):
        with pytest.raises(InputError, match="exists and is not a predictions folder"):
            write_predictions(occupied, perfect_scene(), reader, config={}, checkpoint="")
    assert (recording.folder / "gt.npz").is_file()
    with pytest.raises(InputError, match=r"gt\.npz is not a folder that you may write to"):
        out = recording.folder / "gt.npz" / "result"
        write_predictions(out, perfect_scene(), reader, config={}, checkpoint="")
    (tmp_path / "empty").mkdir()
    write_predictions(tmp_path / "empty", perfect_scene(), reader, config={}, checkpoint="")
    assert read_predictions(tmp_path / "empty").num_instances == 3


def test_a_failed_write_leaves_nothing_and_keeps_the_old(recording, tmp_path):
    def fails():
        yield np.zeros((4, 4), np.uint16)
        raise RuntimeError("disk")

    scene = perfect_scene()
    scene.label_maps = fails
    before = sorted(tmp_path.iterdir())
    for target in (recording.result, tmp_path / "new"):
        with pytest.raises(RuntimeError, match="disk"):
            write_predictions(target, scene, CacheReader(recording.cache), config={}, checkpoint="")
    assert sorted(tmp_path.iterdir()) == before
    assert read_predictions(recording.result).num_instances == 3


def test_bad_folders_are_named(recording, tmp_path):
    with pytest.raises(InputError, match="nowhere is not a predictions folder"):
        read_predictions(tmp_path / "nowhere")
    with pytest.raises(InputError, match="planes is not a predictions folder"):
        read_predictions(recording.folder)
    read = read_predictions(recording.result)
    (recording.result / "frames" / "000001.png").unlink()
    with pytest.raises(InputError, match=r"000001\.png cannot be read"):
        read.label_map(1)
    (recording.result / "instances.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"instances\.npz is not a readable npz"):
        read_predictions(recording.result)
    record = recording.result / "result.json"
    whole = record.read_text()
    record.write_text('["not", "ours"]')
    with pytest.raises(InputError, match="is not a predictions folder"):
        read_predictions(recording.result)
    record.write_text(whole.replace("predictions-1", "predictions-0"))
    with pytest.raises(InputError, match="is of schema moonseg-predictions-0"):
        read_predictions(recording.result)


def test_metrics_lie_beside_the_result_and_not_beside_files(recording, tmp_path):
    write_metrics(recording.result, {"ap": 0.5})
    assert json.loads((recording.result / "metrics.json").read_text()) == {"ap": 0.5}
    (tmp_path / "theirs.npz").write_bytes(b"")
    before = sorted(tmp_path.iterdir())
    write_metrics(tmp_path / "theirs.npz", {"ap": 0.5})
    assert sorted(tmp_path.iterdir()) == before


def test_predictions_are_a_value(recording):
    read = read_predictions(recording.result)
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.checkpoint = "other"


@pytest.mark.parametrize("field", ["info", "frames", "config"])
def test_a_damaged_record_is_named(recording, field):
    file = recording.result / "result.json"
    record = json.loads(file.read_text())
    del record[field]
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=rf"result\.json is damaged .*{field}.*: segment the"):
        read_predictions(recording.result)
