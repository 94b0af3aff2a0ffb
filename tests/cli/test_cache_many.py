"""`moonseg cache` on many scenes: resuming, refusing, and the same bytes whoever works."""

import dataclasses
import os
import shutil
import signal
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bridges.bridge import Bridge
from moonseg_cli.caching.resume import difference
from moonseg_cli.main import main
from moonseg_jax.cache import CacheReader
from tests.cli.recordings import (
    digests,
    start_cache,
    wait_until_writing,
    write_recording,
    write_scenes,
    writer_of,
)

SCENES = 4
TENSORS = ("features_3d", "features_2d", "points", "confidence", "T_world_from_cam")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("data"), SCENES)


@pytest.fixture(scope="module")
def words(data):
    return [f"--source={data}", f"--masks={data}/{{scene}}/masks"]


@pytest.fixture(scope="module")
def expected(words, tmp_path_factory):
    """A folder of caches made without interruption, in one process."""
    out = tmp_path_factory.mktemp("expected") / "caches"
    assert main(["cache", *words, f"--out={out}"]) == 0
    return out


def test_every_scene_is_cached_and_told_of(words, tmp_path, expected, capsys):
    assert main(["cache", *words, f"--out={tmp_path}/caches"]) == 0
    output = capsys.readouterr()
    assert "4 scenes, 20 frames: about" in output.out and "are free" in output.out
    assert f"{tmp_path}/caches: 4 scenes cached; 20 frames" in output.out
    assert "frames/s" in output.out
    assert digests(tmp_path / "caches") == digests(expected)
    assert CacheReader(tmp_path / "caches/room2").info.scene == "room2"


def test_a_cache_of_many_is_the_cache_of_one(data, tmp_path, expected):
    room = data / "room1"
    words = [f"--source={room}", f"--masks={room}/masks", f"--out={tmp_path}/a"]
    assert main(["cache", *words]) == 0
    assert digests(tmp_path / "a") == digests(expected / "room1")


def test_scenes_that_are_there_are_kept(words, tmp_path, expected, capsys):
    out = tmp_path / "caches"
    shutil.copytree(expected, out)
    shutil.rmtree(out / "room2")
    before = (out / "room1").stat().st_ino
    assert main(["cache", *words, f"--out={out}"]) == 0
    assert "1 scene cached, 3 there already; 5 frames" in capsys.readouterr().out
    assert (out / "room1").stat().st_ino == before
    assert digests(out) == digests(expected)


def test_a_single_cache_is_kept_refused_or_overwritten_as_one_of_many(
    data, tmp_path, expected, refused, capsys
):
    out = tmp_path / "cache"
    shutil.copytree(expected / "room1", out)
    words = [f"--source={data}/room1", f"--masks={data}/room1/masks", f"--out={out}"]
    before = out.stat().st_ino, digests(out)
    capsys.readouterr()
    for more in ([], ["--overwrite"], ["--dry-run"]):
        assert main(["cache", *words, *more]) == 0
        told = f"{out}: nothing to do: 1 scene there already, of the same settings\n"
        assert capsys.readouterr() == (told, "")
    assert "stride is 1 there and 2 here" in refused("cache", *words, "--stride=2")
    assert (out.stat().st_ino, digests(out)) == before
    assert main(["cache", *words, "--stride=2", "--overwrite"]) == 0
    assert CacheReader(out).info.stride == 2


def test_what_a_camera_saw_is_not_replaced_unasked(expected):
    reader = CacheReader(expected / "room0")
    live = dataclasses.replace(reader.info, frame_names=(), skipped=())
    assert "does not come again" in difference(reader.path, live)


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        (["--stride=2"], "stride is 1 there and 2 here"),
        (["--max-frames=3"], "it holds 5 frames and 3 are asked for"),
        (["--masks=felzenszwalb"], "masks.name is 'label-maps' there and 'felzenszwalb' here"),
    ],
)
def test_other_settings_are_refused_and_then_overwritten(
    words, tmp_path, expected, refused, changed, difference
):
    out = tmp_path / "caches"
    shutil.copytree(expected / "room3", out / "room3")
    before = digests(out)
    sentence = refused("cache", *words, *changed, f"--out={out}")
    assert f"{out}/room3" in sentence and difference in sentence and "--overwrite" in sentence
    assert digests(out) == before
    assert main(["cache", *words, *changed, f"--out={out}", "--overwrite"]) == 0
    assert digests(out)["room3/manifest.json"] != before["room3/manifest.json"]
    assert len(list(out.iterdir())) == SCENES


def test_a_damaged_cache_is_not_kept(words, tmp_path, expected, refused):
    out = tmp_path / "caches"
    shutil.copytree(expected, out)
    (out / "room1/points/zarr.json").unlink()
    assert "zarr.json: missing" in refused("cache", *words, f"--out={out}")
    assert main(["cache", *words, f"--out={out}", "--overwrite"]) == 0
    assert digests(out) == digests(expected)


def test_scenes_that_fail_are_listed_and_the_others_done(tmp_path, refused, capsys):
    data = write_scenes(tmp_path / "data", 4, frames=2)
    late = data / "room1/depth/000001.png"
    late.write_bytes(late.read_bytes()[:40])
    np.savetxt(data / "room2/intrinsics.txt", np.eye(3) * 1000)
    assert main(["cache", f"--source={data}", f"--out={tmp_path}/caches"]) == 2
    err = capsys.readouterr().err
    assert "room1: failed: " in err and str(late) in err
    assert "room2: failed: " in err and "2 of 4 scenes failed" in err
    assert sorted(path.name for path in (tmp_path / "caches").iterdir()) == ["room0", "room3"]
    shutil.rmtree(data / "room1")
    shutil.rmtree(data / "room2")
    assert main(["cache", f"--source={data}", f"--out={tmp_path}/caches"]) == 0
    output = capsys.readouterr()
    told = f"{tmp_path}/caches: nothing to do: 2 scenes there already, of the same settings\n"
    assert (output.out, output.err) == (told, "")


def test_what_stops_a_single_scene_is_said_once(tmp_path, capsys):
    room = write_recording(tmp_path / "room", 0, frames=2)
    late = room / "depth/000001.png"
    late.write_bytes(late.read_bytes()[:40])
    assert main(["cache", f"--source={room}", f"--out={tmp_path}/cache"]) == 2
    output = capsys.readouterr()
    assert str(late) in output.err
    assert "cached" not in output.out and output.err.count("copy the file again") == 1
    (room / "color/000001.png").unlink()
    assert main(["cache", f"--source={room}", f"--out={tmp_path}/cache"]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("no colour for frame 000001") == 1


def test_a_shard_without_scenes_is_no_mistake(words, tmp_path, capsys):
    assert main(["cache", *words, f"--out={tmp_path}/caches", "--shard=9/9"]) == 0
    assert "nothing to do: this shard has no scene" in capsys.readouterr().out


def test_workers_are_counted_from_none(words, tmp_path, refused):
    sentence = refused("cache", *words, f"--out={tmp_path}/c", "--workers=-1")
    assert "--workers: -1 is not a whole number of 0 or more" in sentence


def test_a_dry_run_writes_nothing(words, tmp_path, capsys):
    assert main(["cache", *words, f"--out={tmp_path}/caches", "--dry-run"]) == 0
    assert "4 scenes, 20 frames: about" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_shards_are_parts_of_one_folder(words, tmp_path, expected, monkeypatch):
    out = f"--out={tmp_path}/caches"
    assert main(["cache", *words, out, "--shard=1/2"]) == 0
    assert sorted(path.name for path in (tmp_path / "caches").iterdir()) == ["room0", "room2"]
    for name, value in {"ID": "8", "MIN": "7", "COUNT": "2"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert main(["cache", *words, out, "--shard=slurm"]) == 0
    assert digests(tmp_path / "caches") == digests(expected)


def test_what_takes_too_much_room_is_refused_before_it_starts(
    words, tmp_path, refused, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    sentence = refused("cache", *words, f"--out={tmp_path}/caches")
    assert "1 MB are free" in sentence and "20 frames take about" in sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [[], pytest.param(["--workers=2"], marks=pytest.mark.slow)])
def test_killed_and_started_again(words, tmp_path, expected, workers):
    out = tmp_path / "caches"
    command = [*words, *workers, f"--out={out}"]
    process = start_cache(*command)
    wait_until_writing(out / "room2", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = {path.name: path.stat().st_ino for path in out.glob("room*")}
    assert done and "room2" not in done and (out / ".room2.partial").exists()
    for name in done:
        CacheReader(out / name).verify()
    process = start_cache(*command)
    output, err = process.communicate()
    assert process.returncode == 0, err
    assert f"{len(done)} there already" in output
    assert {name: (out / name).stat().st_ino for name in done} == done
    assert digests(out) == digests(expected)
    assert sorted(path.name for path in out.iterdir()) == [f"room{i}" for i in range(SCENES)]


def test_a_killed_worker_is_replaced(words, tmp_path, expected):
    out = tmp_path / "caches"
    process = start_cache(*words, "--workers=2", f"--out={out}")
    wait_until_writing(out / "room1", process)
    worker = writer_of(out / "room1")
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert digests(out) == digests(expected)


@pytest.mark.slow
def test_an_early_interrupt_is_one_line(words, tmp_path):
    process = start_cache(*words, "--workers=2", f"--out={tmp_path}/caches")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    importing: list[str] = []
    while len(importing) < 2:
        found = children.read_text().split()
        importing = [pid for pid in found if "multiarray" in Path(f"/proc/{pid}/maps").read_text()]
    for pid in (*importing, process.pid):  # As a terminal does.
        os.kill(int(pid), signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    (line,) = err.splitlines()
    assert line.startswith("moonseg cache: stopped; ")


@pytest.mark.slow
def test_a_late_interrupt_leaves_whole_scenes(words, tmp_path, expected):
    out = tmp_path / "caches"
    process = start_cache(*words, "--workers=2", f"--out={out}")
    wait_until_writing(out / "room2", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    last = err.splitlines()[-1]
    assert last.startswith("moonseg cache: stopped; whole scenes are kept, and the same command")
    assert not list(out.glob(".*"))
    for cache in out.iterdir():
        assert digests(cache) == digests(expected / cache.name)


def test_a_recording_that_ends_early_is_kept_too(tmp_path, capsys, monkeypatch):
    write_recording(tmp_path / "data/room", 0, frames=3)
    words = [f"--source={tmp_path}/data", f"--out={tmp_path}/caches"]
    frames = Bridge.frames
    monkeypatch.setattr(Bridge, "frames", lambda bridge: islice(frames(bridge), 2))
    assert main(["cache", *words]) == 0
    info = CacheReader(tmp_path / "caches/room").info
    assert info.skipped == (("000002", "the recording ends before it"),)
    assert "skipped 1" in capsys.readouterr().err
    assert main(["cache", *words]) == 0
    assert "nothing to do: 1 scene there already" in capsys.readouterr().out


def test_frames_on_a_device_are_cached_as_they_are(tmp_path, monkeypatch, expected, words):
    torch = pytest.importorskip("torch")
    frames = Bridge.frames

    def on_device(bridge):
        for name, frame in frames(bridge):
            tensors = {field: torch.from_numpy(getattr(frame, field)) for field in TENSORS}
            yield name, frame.replace(**tensors)

    monkeypatch.setattr(Bridge, "frames", on_device)
    assert main(["cache", *words, f"--out={tmp_path}/caches", "--shard=1/4"]) == 0
    assert digests(tmp_path / "caches/room0") == digests(expected / "room0")
