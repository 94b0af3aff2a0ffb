"""Scenes in lockstep: full batches, the same caches, and nobody hurt by a neighbour."""

import dataclasses
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from bridges.backbones.cut3r import TINY_DPT, Cut3r, checkpoint
from bridges.backbones.interfaces import Geometry, Masks
from bridges.bridge import Bridge, BridgeConfig, load_backbones
from bridges.lockstep import Lockstep, frames_at_once
from bridges.sources import open_source
from bridges.stage_times import StageTimes
from bridges.together import STAGES, Item
from moonseg_cli.caching import batch
from moonseg_cli.caching.events import Done, Failed
from moonseg_cli.caching.jobs import find_jobs
from moonseg_cli.caching.plan import make_plan
from moonseg_cli.caching.runners import open_runner
from moonseg_jax.cache import CacheReader, CacheWriter, DiskFullError
from moonseg_jax.structs import InputError, SourceFrame
from tests.cli.recordings import ROOT, digests, wait_until_writing, write_recording

SIZE = (16, 16)
LENGTHS = (5, 9, 3, 7, 4)


class FakeModels:
    """Stages that note what they are called with, and tell each image's first pixel.

    Where ``together`` scenes are expected, all have given a frame before any gives its second.
    """

    def __init__(self, fail_at=None, together=0):
        self.batches = []
        self.fail_at = fail_at
        self.begun = threading.Barrier(together) if together else None
        self.stages = {
            "geometry": SimpleNamespace(batch=lambda scenes, images, room: self.told(images, True)),
            "semantics": SimpleNamespace(batch=lambda images: [i[:1, :1] for i in images]),
            "masks": SimpleNamespace(batch=lambda images: [_no_masks(i) for i in images]),
        }

    def take_device(self):
        self.thread = threading.current_thread().name

    def told(self, images, noted):
        self.batches.append(len(images))
        if self.fail_at in images[:, 0, 0, 0]:
            raise ArithmeticError("no numbers")
        return [Geometry(*(i[0, 0, 0] for _ in range(5))) for i in images]

    def items(self, values, size=SIZE):
        for i, value in enumerate(values):
            if value is None:
                raise InputError("broken frame")
            if i == 1 and self.begun:
                self.begun.wait(20)
            image = np.full((*size, 3), value, np.uint8)
            source = SourceFrame(str(value), float(value), image)
            yield Item(source, image, {}, self.stages, StageTimes(STAGES))


def _no_masks(image):
    grid = (image.shape[0] // 2, image.shape[1] // 2)
    return Masks(np.zeros((0, *grid), bool), np.zeros(0, np.float32))


def run(models, scenes, frames, sizes=None):
    """What each scene got, or what it raised; all begin at the same time."""
    lockstep = Lockstep(models, frames, len(scenes))
    told = [None] * len(scenes)

    def work(i):
        try:
            size = sizes[i] if sizes else SIZE
            with closing(lockstep.run(models.items(scenes[i], size))) as results:
                told[i] = [int(frame.points) for name, frame in results if name]
        except Exception as error:
            told[i] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(scenes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    lockstep.close()
    return told


def test_a_scene_alone_fills_the_batch():
    models = FakeModels()
    assert run(models, [range(19)], frames=8) == [list(range(19))]
    assert models.batches == [8, 8, 3]
    assert models.thread == "lockstep"  # A GPU is chosen thread by thread.


def test_scenes_share_batches_in_order():
    models = FakeModels(together=4)
    scenes = [list(range(start, start + 30)) for start in (0, 50, 100, 150)]
    assert run(models, scenes, frames=4) == scenes
    # The first batch, and so the last, depend on whether three have begun before the fourth.
    assert models.batches[1:30] == [4] * 29 and sum(models.batches) == 120


def test_scenes_of_different_lengths_and_sizes():
    models = FakeModels()
    scenes = [range(3), range(50, 70), range(100, 101), [], range(150, 160)]
    sizes = [SIZE, (16, 32), SIZE, SIZE, (16, 32)]
    told = run(models, scenes, 3, sizes)
    assert told == [list(scene) for scene in scenes]


def test_a_scene_that_breaks_leaves_the_others_alone():
    told = run(FakeModels(), [range(20), [50, 51, None, 53], range(100, 120)], 3)
    assert (told[0], told[2]) == (list(range(20)), list(range(100, 120)))
    assert isinstance(told[1], InputError) and "broken frame" in str(told[1])


def test_a_model_that_fails_is_heard_by_the_scenes_of_its_batch():
    told = run(FakeModels(fail_at=7), [range(20)], 4)
    assert isinstance(told[0], ArithmeticError)


def test_reading_ahead_is_for_recordings_only(make_rgbd):
    source = open_source(make_rgbd(frames=6).path)
    read = []
    frames = list(source)
    live = SimpleNamespace(**{**vars(source), "names": (), "lacks": ()})

    def arriving(_):
        for frame in frames:
            read.append(frame.name)
            yield frame

    class Live(SimpleNamespace):
        __iter__ = arriving

    bridge = Bridge(Live(**vars(live)), load_backbones(BridgeConfig()))
    with closing(bridge.frames()) as told:
        for i in range(3):
            next(told)
            assert len(read) == i + 1


def test_a_cpu_takes_one_frame_at_a_time():
    assert frames_at_once(BridgeConfig()) == 1
    assert frames_at_once(BridgeConfig(rfm="cut3r", device="cpu")) == 1


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.set_num_threads(1)
    named = Cut3r.random(TINY_DPT, seed=0).named_parameters()
    tensors = checkpoint.published_tensors(named, TINY_DPT.head)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(checkpoint, "DPT_512", TINY_DPT)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for i, frames in enumerate(LENGTHS):
        write_recording(folder / f"room{i}", i, frames)
    # Of another shape: seen at 64x32 instead of 64x48.
    for kind in ("color", "depth"):
        for file in (folder / "room3" / kind).iterdir():
            Image.open(file).crop((0, 0, 80, 40)).save(file)
    return folder


def cache(data, out, weights, at_once):
    """As `moonseg cache --scenes-at-once` does; how each scene ended, by name."""
    config = BridgeConfig(rfm="cut3r", rfm_weights=str(weights), state_attention=True)
    scenes = find_jobs([str(data)], out, "felzenszwalb", 1, 0, None)
    with open_runner(config, len(scenes.jobs), 0, None, at_once) as runner:
        plan = make_plan(runner, scenes, overwrite=False)
        return {job.name: event for job, event in batch.execute(runner, plan)}


@pytest.fixture(scope="module")
def alone(data, weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "caches"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "DPT_512", TINY_DPT)
        assert len(cache(data, out, weights, 1)) == len(LENGTHS)
    return out


def assert_same(ours: Path, theirs: Path, moved=False):
    """Equal provenance; numbers within what float32 and float16 leave to the order of sums."""
    a, b = CacheReader(ours), CacheReader(theirs)
    assert moved or a.info == b.info
    for mine, other in zip(a.frames(), b.frames(), strict=True):
        for f in dataclasses.fields(mine):
            x, y = np.asarray(getattr(mine, f.name)), np.asarray(getattr(other, f.name))
            if x.dtype.kind != "f":
                np.testing.assert_array_equal(x, y, err_msg=f.name)
                continue
            tolerance = (2e-3 if x.dtype == np.float16 else 1e-5) * np.abs(y).max()
            np.testing.assert_allclose(x, y, rtol=0, atol=tolerance, err_msg=f.name)


def test_lockstep_gives_the_caches_of_one_by_one(data, weights, alone, tmp_path):
    ended = cache(data, tmp_path / "caches", weights, 4)
    assert {name: done.frames for name, done in ended.items()} == {
        f"room{i}": frames for i, frames in enumerate(LENGTHS)
    }
    for done in ended.values():
        assert done.seconds["geometry"] > 0
    for scene in alone.iterdir():
        assert_same(tmp_path / "caches" / scene.name, scene)
    assert CacheReader(alone / "room3").info.image_size == (32, 64)
    # Resumed with another number, everything is there already.
    assert cache(data, tmp_path / "caches", weights, 1) == {}


def test_a_broken_scene_ends_alone(data, weights, alone, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    broken = tmp_path / "data/room1/color/000004.png"
    broken.write_bytes(broken.read_bytes()[:60])
    ended = cache(tmp_path / "data", tmp_path / "caches", weights, 3)
    assert isinstance(ended["room1"], Failed) and str(broken) in ended["room1"].sentence
    for i in (0, 2, 3, 4):
        assert isinstance(ended[f"room{i}"], Done)
        assert_same(tmp_path / f"caches/room{i}", alone / f"room{i}", moved=True)
    assert len(list((tmp_path / "caches").iterdir())) == 4


_RUN = """
import sys
from pathlib import Path
import torch
from bridges.backbones.cut3r import TINY_DPT, checkpoint
from tests.bridges.test_lockstep import cache
if __name__ == "__main__":
    torch.set_num_threads(1)
    checkpoint.DPT_512 = TINY_DPT
    cache(*map(Path, sys.argv[1:4]), int(sys.argv[4]))
"""


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_stopped_and_started_again(data, weights, alone, tmp_path, how):
    long = tmp_path / "data"
    for i in range(4):
        write_recording(long / f"room{i}", i, (2, 14, 14, 14)[i])
    out = tmp_path / "caches"
    command = [sys.executable, "-c", _RUN, str(long), str(out), str(weights), "3"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, **pipes)
    # The fourth takes the place of the first, once that is done.
    wait_until_writing(out / "room3", process)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert sorted(p.name for p in out.glob("room*")) == ["room0"], err
    if how == signal.SIGINT:
        assert not list(out.glob(".*")), err
    before = digests(out / "room0")
    ended = cache(long, out, weights, 2)
    assert sorted(ended) == ["room1", "room2", "room3"]
    assert digests(out / "room0") == before
    assert sorted(p.name for p in out.iterdir()) == [f"room{i}" for i in range(4)]
    for path in out.iterdir():
        CacheReader(path).verify()


def test_a_full_disk_ends_all_scenes(data, weights, tmp_path, monkeypatch):
    append = CacheWriter.append

    def full(writer, name, frame):
        if name == "000002":
            raise DiskFullError("the disk is full")
        time.sleep(0.05)
        append(writer, name, frame)

    monkeypatch.setattr(CacheWriter, "append", full)
    ended = cache(data, tmp_path / "caches", weights, 2)
    assert [event.cause.value for event in ended.values()] == ["disk"]
    assert list((tmp_path / "caches").iterdir()) == []
