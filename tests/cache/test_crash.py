"""Whatever ends a run, there is a whole cache or none."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from moonseg_jax.cache import (
    CacheReader,
    CacheWriter,
    DiskFullError,
    discard_leftovers,
    disk_errors,
    whole_file,
)
from moonseg_jax.structs import InputError
from tests.cache.scenes import make_frame, make_info, random_scene, same_bits

_WRITE_FOREVER = """
import sys
from moonseg_jax.cache import CacheWriter
from tests.cache.scenes import make_frame, make_info

info = make_info(image_size=(96, 128), c3=64)
frame = make_frame(info, 0)
with CacheWriter(sys.argv[1], info) as writer:
    for i in range(10**9):
        writer.append(str(i), frame)
        if i == 100:
            print("writing", flush=True)
"""

_DISK_FULL = """
import resource, sys
from moonseg_jax.cache import CacheWriter
from moonseg_jax.structs import InputError
from tests.cache.scenes import make_frame, make_info

info = make_info(image_size=(96, 128), c3=64)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    with CacheWriter(sys.argv[1], info) as writer:
        for i in range(40):
            writer.append(str(i), make_frame(info, i))
except InputError as error:
    print(error)
    sys.exit(2)
"""


def python(code, *arguments):
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=root, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("frames", [0, 5, 33])
def test_an_exception_leaves_nothing(tmp_path, error, frames):
    info = make_info()
    with pytest.raises(error), CacheWriter(tmp_path / "a", info) as writer:
        for i in range(frames):
            writer.append(str(i), make_frame(info, i))
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["write_group", "write_manifest"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left on device")])
def test_an_interrupted_commit_leaves_the_older_cache(tmp_path, monkeypatch, step, error):
    old = random_scene(tmp_path / "a", 2)

    def interrupt(*_):
        raise error

    monkeypatch.setattr(f"moonseg_jax.cache.writer.{step}", interrupt)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else InputError):
        random_scene(tmp_path / "a", 20)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert same_bits(old[1], CacheReader(tmp_path / "a").frame(1))


def test_an_interrupt_between_the_two_renames_leaves_the_older_cache(tmp_path, monkeypatch):
    old = random_scene(tmp_path / "a", 2)
    rename, calls = os.rename, []

    def interrupt_second(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupt_second)
    with pytest.raises(KeyboardInterrupt):
        random_scene(tmp_path / "a", 3)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert same_bits(old[1], CacheReader(tmp_path / "a").frame(1))


def test_a_killed_run_leaves_no_cache_and_the_next_run_tidies_up(tmp_path):
    process = python(_WRITE_FOREVER, tmp_path / "a")
    assert process.stdout.readline() == "writing\n"
    with (
        pytest.raises(InputError, match="another process is writing"),
        CacheWriter(tmp_path / "a", make_info()),
    ):
        pass
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [p.name for p in tmp_path.iterdir()] == [".a.partial"]
    with pytest.raises(InputError, match="no such cache"):
        CacheReader(tmp_path / "a")
    with pytest.raises(InputError, match="no readable manifest"):
        CacheReader(tmp_path / ".a.partial" / "new")
    frames = random_scene(tmp_path / "a", 4)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert all(map(same_bits, frames, CacheReader(tmp_path / "a").frames()))


def test_a_run_killed_between_the_renames_gives_the_older_cache_back(tmp_path):
    old = random_scene(tmp_path / "a", 2)
    partial = tmp_path / ".a.partial"
    (partial / "new").mkdir(parents=True)
    (tmp_path / "a").rename(partial / "replaced")
    with pytest.raises(RuntimeError), CacheWriter(tmp_path / "a", make_info()):
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert same_bits(old[1], CacheReader(tmp_path / "a").frame(1))


def test_leftovers_are_removed_and_whole_caches_kept(tmp_path):
    frames = random_scene(tmp_path / "a", 2)
    (tmp_path / ".a.partial" / "replaced").mkdir(parents=True)  # Killed just after the commit.
    discard_leftovers(tmp_path / "a")
    discard_leftovers(tmp_path / "never")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert same_bits(frames[1], CacheReader(tmp_path / "a").frame(1))


def test_what_a_live_run_writes_is_no_leftover(tmp_path):
    with CacheWriter(tmp_path / "a", make_info()) as writer:
        with pytest.raises(InputError, match="another process is writing"):
            discard_leftovers(tmp_path / "a")
        writer.append("0", make_frame(make_info(), 0))
    assert len(CacheReader(tmp_path / "a")) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_told_from_others(tmp_path, monkeypatch, code):
    def refuse(*_):
        # TensorStore's are ValueErrors that end in the system's words.
        raise ValueError(f"Failed to write: {os.strerror(code)}")

    monkeypatch.setattr("moonseg_jax.cache.writer.write_group", refuse)
    with pytest.raises(InputError) as caught:
        random_scene(tmp_path / "a", 2)
    assert isinstance(caught.value, DiskFullError) == (code != errno.EIO)


def test_a_mistake_of_the_program_is_not_blamed_on_the_disk(tmp_path):
    with pytest.raises(ValueError, match="two of them"), disk_errors(tmp_path):
        raise ValueError("two of them")


def test_a_file_is_whole_or_as_it_was(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with (
        pytest.raises(DiskFullError, match=r"a\.txt: the disk is full"),
        whole_file(file) as beside,
    ):
        beside.write_text("half")
        raise OSError(errno.ENOSPC, "")
    assert file.read_text() == "old"
    with whole_file(file) as beside:
        beside.write_text("new")
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(InputError, match="cannot be written"), whole_file(file / "b.txt") as beside:
        beside.write_text("")


def test_a_refusing_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    process = python(_DISK_FULL, tmp_path / "a")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2 and "cannot be written" in output, output
    assert list(tmp_path.iterdir()) == []
