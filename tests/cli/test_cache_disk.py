"""A disk that fills up while scenes are cached: a small one of its own, where the system allows."""

import errno
import os
import subprocess
import sys

import pytest

from moonseg_cli.main import main
from moonseg_jax.structs import InputError
from tests.cli.recordings import ROOT, write_scenes

# Three scenes take 1.3 MB each.
_FILL_UP = """
import subprocess, sys, threading, time
from pathlib import Path
from moonseg_cli.main import main
from moonseg_jax.cache import CacheReader
from tests.cli.recordings import digests

data, disk = map(Path, sys.argv[1:])
out, filler = disk / "caches", disk / "filler"
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)

def fill():
    while not (out / ".room1.partial").exists():
        time.sleep(0.002)
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(1 << 16))
            except OSError:
                return

def cache(source):
    return main(["cache", f"--source={source}", f"--out={out}"])

threading.Thread(target=fill).start()
assert cache(data) == 2
assert [path.name for path in out.iterdir()] == ["room0"], list(out.iterdir())
CacheReader(out / "room0").verify()
assert cache(data) == 2  # There is no room for the others: it does not even start.
filler.unlink()
assert cache(data) == 0
assert len(list(out.iterdir())) == 3
for path in out.iterdir():
    CacheReader(path).verify()
"""


def test_a_disk_that_fills_up_leaves_whole_scenes_and_a_way_on(tmp_path):
    data = write_scenes(tmp_path / "data", 3, frames=3)
    (tmp_path / "disk").mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*command, "mount", "-t", "tmpfs", "tmpfs", tmp_path / "disk"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the system allows no mounts to its users")
    command += [sys.executable, "-c", _FILL_UP, str(data), str(tmp_path / "disk")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "caches/room1: the disk is full; free some room" in result.stderr
    assert "6 frames take about 2.6" in result.stderr and "room2: failed" not in result.stderr


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_the_run(tmp_path, monkeypatch, capsys, code):
    data = write_scenes(tmp_path / "data", 3, frames=1)

    def full(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("moonseg_jax.cache.writer.write_manifest", full)
    assert main(["cache", f"--source={data}", f"--out={tmp_path}/caches"]) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert "1 of 3 scenes failed" in sentence and "the disk is full" in sentence
    assert list((tmp_path / "caches").iterdir()) == []


def test_a_disk_that_refuses_is_not_a_full_one(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    from moonseg_cli.cache import cache_recording

    data = write_scenes(tmp_path / "data", 1, frames=1)
    monkeypatch.setattr("moonseg_jax.cache.writer.write_manifest", refuse)
    with pytest.raises(InputError, match=r"cannot be written: .*Input/output error"):
        cache_recording(data / "room0", tmp_path / "cache")
    assert main(["cache", f"--source={data}", f"--out={tmp_path}/caches"]) == 2
