"""`moonseg cache --ray` on a cluster of this machine's own."""

import os
import signal
import sys

import pytest

from moonseg_cli.main import main
from tests.cli.recordings import (
    digests,
    start_cache,
    wait_until_writing,
    write_scenes,
    writer_of,
)

SCENES = 5


@pytest.mark.slow
def test_a_run_that_loses_a_worker_gives_the_bytes_of_a_serial_run(tmp_path):
    pytest.importorskip("ray")
    data = write_scenes(tmp_path / "data", SCENES)
    broken = data / "room3/depth/000004.png"
    broken.write_bytes(broken.read_bytes()[:40])
    words = [f"--source={data}", f"--masks={data}/{{scene}}/masks"]
    assert main(["cache", *words, f"--out={tmp_path}/serial"]) == 2

    out = tmp_path / "caches"
    process = start_cache(*words, f"--out={out}", "--ray=local", "--workers=2")
    wait_until_writing(out / "room2", process)
    worker = writer_of(out / "room2")
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 2, err
    assert "room3: failed: " in err and "1 of 5 scenes failed" in err
    assert digests(out) == digests(tmp_path / "serial")
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere"])
def test_a_cluster_that_is_not_there(tmp_path, refused, address):
    pytest.importorskip("ray")
    data = write_scenes(tmp_path / "data", 2, frames=1)
    words = [f"--source={data}", f"--out={tmp_path}/caches"]
    assert "no cluster there" in refused("cache", *words, f"--ray={address}")


def test_without_ray_it_says_what_to_install(tmp_path, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    data = write_scenes(tmp_path / "data", 1, frames=1)
    sentence = refused("cache", f"--source={data}", f"--out={tmp_path}/caches", "--ray")
    assert "pip install 'moonseg-jax[cluster]'" in sentence
