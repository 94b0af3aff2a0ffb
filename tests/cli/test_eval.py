"""`moonseg eval` of results with predicted poses, against recordings of every layout."""

import dataclasses
import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from moonseg_cli.main import main
from moonseg_jax.cache import CacheReader, CacheWriter
from moonseg_jax.structs import SceneInfo
from tests.eval.layouts import (
    as_posed_rgbd,
    as_scannet,
    as_scenenn,
    as_sens,
    as_seven_scenes,
    sens_of,
)

SCALE, SHIFT = 0.7, np.array([0.3, -0.2, 1.1])
# A turn about no axis in particular.
TURN = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
TURN *= np.linalg.det(TURN)


WRITERS = (as_posed_rgbd, as_sens, as_scannet, as_seven_scenes, as_scenenn)


def write_predicted(cache: Path, out: Path) -> Path:
    """The same frames as a backbone without sensors could have seen them: scaled, turned, moved."""
    reader = CacheReader(cache)
    names = reader.info.frame_names
    info = dataclasses.replace(reader.info, poses="predicted", units="scene", frame_names=())
    with CacheWriter(out, info) as writer:
        for name, frame in zip(names, reader.frames(), strict=True):
            T = np.array(frame.T_world_from_cam)
            T[:3, :3], T[:3, 3] = TURN @ T[:3, :3], SCALE * TURN @ T[:3, 3] + SHIFT
            points = (SCALE * np.asarray(frame.points) @ TURN.T + SHIFT).astype(np.float32)
            writer.append(name, frame.replace(points=points, T_world_from_cam=T))
    return out


@pytest.fixture(scope="module")
def result(pristine, tmp_path_factory):
    """A result whose poses were predicted; its cache is gone."""
    folder = tmp_path_factory.mktemp("predicted")
    cache, out = write_predicted(pristine / "cache", folder / "cache"), folder / "result"
    assert main(["segment", f"--cache={cache}", "--checkpoint=none", f"--out={out}"]) == 0
    shutil.rmtree(cache)
    return out


def renamed(result: Path, names: list[str], out: Path) -> Path:
    shutil.copytree(result, out)
    record = json.loads((out / "result.json").read_text())
    info = SceneInfo.from_dict(record["info"])
    record["info"] = dataclasses.asdict(dataclasses.replace(info, frame_names=tuple(names)))
    (out / "result.json").write_text(json.dumps(record))
    return out


def score(capsys, *words: str) -> dict:
    capsys.readouterr()
    assert main(["eval", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def ours(result, pristine, capsys):
    """Scores by both protocols, against the posed RGB-D folder it was rendered to."""
    words = [f"--predictions={result}", f"--ground-truth={pristine}/room"]
    return {a: score(capsys, *words, f"--association={a}") for a in ("gt", "sim3")}


def test_predicted_geometry_scores_by_both_protocols(ours, pristine):
    assert ours["gt"]["ap25"] > 0.5 and ours["sim3"]["ap25"] > 0.5
    for association, metrics in ours.items():
        assert metrics["protocol"] == association
        (scene,) = metrics["scenes"]
        assert (scene["poses"], scene["measured_by"]) == ("predicted", f"{pristine}/room")


@pytest.mark.parametrize("association", ["gt", "sim3"])
@pytest.mark.parametrize("write", WRITERS)
def test_every_layout_measures_the_same(
    result, pristine, tmp_path, capsys, ours, write, association
):
    recording = tmp_path / "scene"
    names = write(pristine / "room", recording)
    if write is not as_scenenn:
        shutil.copy(pristine / "room" / "gt.npz", recording)
    out = renamed(result, names, tmp_path / "result")
    words = [f"--predictions={out}", f"--ground-truth={recording}", f"--association={association}"]
    metrics = score(capsys, *words)
    # ScanNet and SceneNN round poses, some layouts the intrinsics.
    assert metrics["ap"] == pytest.approx(ours[association]["ap"], abs=0.005)
    (scene,), (expected,) = metrics["scenes"], ours[association]["scenes"]
    assert scene["measured_by"] == str(recording)
    assert scene["labelled_share"] == pytest.approx(expected["labelled_share"], abs=2e-3)


def test_a_recording_elsewhere_is_named(result, pristine, tmp_path, capsys, refused, ours):
    truth = tmp_path / "gt.npz"
    shutil.copy(pristine / "room" / "gt.npz", truth)
    words = [f"--predictions={result}", f"--ground-truth={truth}"]
    for association in ("gt", "sim3"):
        sentence = refused("eval", *words, f"--association={association}")
        assert "were predicted" in sentence and "name its recording with --recording" in sentence
        named = [*words, f"--association={association}", f"--recording={pristine}/room"]
        assert score(capsys, *named)["ap"] == ours[association]["ap"]
    sens = tmp_path / "one.sens"
    sens_of(pristine / "room").write(sens)
    assert "has a pose for none of the 6 frames" in refused("eval", *words, f"--recording={sens}")
    two = ["--recording", f"{pristine}/room", str(sens)]
    assert "1 predictions and 2 recordings" in refused("eval", *words, *two)


def test_scores_are_said_where_they_cannot_be_kept(result, pristine, monkeypatch, capsys):
    def refuse(path, metrics):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("moonseg_jax.eval.predictions.write_metrics", refuse)
    assert main(["eval", f"--predictions={result}", f"--ground-truth={pristine}/room"]) == 2
    said = capsys.readouterr()
    assert "protocol gt" in said.out and f"{result}: Permission denied" in said.err


def test_a_flag_given_twice_names_two_scenes(result, pristine, capsys):
    twice = [f"--predictions={result}", f"--ground-truth={pristine}/room"] * 2
    assert main(["eval", *twice, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["scenes"]) == 2


def test_without_depth_there_is_protocol_b(result, pristine, tmp_path, capsys, refused, ours):
    recording = tmp_path / "scene"
    as_posed_rgbd(pristine / "room", recording)
    shutil.copy(pristine / "room" / "gt.npz", recording)
    shutil.rmtree(recording / "depth")
    words = [f"--predictions={result}", f"--ground-truth={recording}"]
    sentence = refused("eval", *words)
    assert "has no depth" in sentence and "use --association sim3" in sentence
    assert score(capsys, *words, "--association=sim3")["ap"] == ours["sim3"]["ap"]


def test_what_is_no_recording_is_named(result, pristine, tmp_path, refused):
    words = [f"--predictions={result}", f"--ground-truth={pristine}/room"]
    video = tmp_path / "a.mp4"
    assert f"{video} does not exist" in refused("eval", *words, f"--recording={video}")
    video.touch()
    assert f"{video} is no recording with poses" in refused("eval", *words, f"--recording={video}")
    images = pristine / "room" / "color"
    sentence = refused("eval", *words, f"--recording={images}")
    assert f"{images} has no camera poses" in sentence


def test_depth_that_is_cut_off_is_named(result, pristine, tmp_path, refused):
    room = tmp_path / "room"
    shutil.copytree(pristine / "room", room)
    file = room / "depth" / "000002.png"
    file.write_bytes(file.read_bytes()[:60])
    sentence = refused("eval", f"--predictions={result}", f"--ground-truth={room}")
    assert f"{file} cannot be read" in sentence


def test_export_reaches_the_vertices_as_eval_does(result, pristine, tmp_path, capsys, ours):
    truth = pristine / "room"
    for association in ("gt", "sim3"):
        out = tmp_path / f"{association}.npz"
        words = [f"--predictions={result}", f"--ground-truth={truth}", f"--out={out}"]
        assert main(["export", *words, f"--association={association}"]) == 0
        metrics = score(capsys, f"--predictions={out}", f"--ground-truth={truth}")
        assert metrics["ap"] == ours[association]["ap"]
