"""Which scenes a command line names, and where each goes."""

from pathlib import Path

import pytest

from moonseg_cli.caching.jobs import find_jobs, parse_shard
from moonseg_cli.caching.processes import visible_gpus
from moonseg_jax.structs import InputError
from tests.cli.recordings import write_recording, write_scenes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write_scenes(folder, 3, frames=1)


def jobs_of(*sources, masks="felzenszwalb", shard=None):
    return find_jobs([str(s) for s in sources], Path("caches"), masks, 2, 7, shard)


def test_one_recording_is_one_cache(data):
    found = jobs_of(data / "room1")
    assert not found.many
    (job,) = found.jobs
    assert (job.source, job.out, job.stride, job.max_frames) == (
        str(data / "room1"),
        Path("caches"),
        2,
        7,
    )


@pytest.mark.parametrize(
    "sources", [["."], ["room*"], ["room0", "room1", "room2"], ["scenes.txt"], [".", "room1"]]
)
def test_many_recordings_are_a_folder_of_caches(data, sources):
    (data / "scenes.txt").write_text("room0\nroom1\nroom2\n")
    found = jobs_of(*(data / source for source in sources))
    assert found.many
    assert [job.source for job in found.jobs] == [str(data / f"room{i}") for i in range(3)]
    assert [job.out for job in found.jobs] == [Path("caches") / f"room{i}" for i in range(3)]


def test_a_pattern_names_many_also_where_it_holds_one(data):
    found = jobs_of(data / "room[0]")
    assert found.many and [job.name for job in found.jobs] == ["room0"]


def test_paths_hold_in_any_folder(data, monkeypatch):
    monkeypatch.chdir(data / "room0")
    assert jobs_of("../room1").jobs[0].source == str(data / "room1")
    assert jobs_of(".", masks="masks").jobs[0].masks == str(data / "room0" / "masks")


def test_the_shards_are_all_the_scenes(data):
    shards = [jobs_of(data, shard=f"{i}/2").jobs for i in (1, 2)]
    assert [len(shard) for shard in shards] == [2, 1]
    assert {job.name for shard in shards for job in shard} == {"room0", "room1", "room2"}
    assert jobs_of(data, shard="5/5").jobs == ()


def test_a_task_of_a_job_array_is_a_shard():
    array = {"SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_COUNT": "4"}
    assert parse_shard("slurm", {**array, "SLURM_ARRAY_TASK_ID": "5"}) == (2, 4)
    step = {"SLURM_ARRAY_TASK_STEP": "10", "SLURM_ARRAY_TASK_ID": "33"}
    assert parse_shard("slurm", {**array, **step}) == (3, 4)
    with pytest.raises(InputError, match="SLURM_ARRAY_TASK_ID is not set"):
        parse_shard("slurm", {})


@pytest.mark.parametrize("word", ["0/4", "5/4", "2", "a/b", "-1/4", "1/0", ""])
def test_shards_that_are_none(word):
    with pytest.raises(InputError, match="I from 1 to N"):
        parse_shard(word, {})


def test_masks_by_scene(data):
    found = jobs_of(data, masks=f"{data}/{{scene}}/masks")
    assert [job.masks for job in found.jobs] == [str(data / f"room{i}/masks") for i in range(3)]
    with pytest.raises(InputError, match=r"would be one folder for 3 scenes: write \{scene\}"):
        jobs_of(data, masks=str(data / "room0/masks"))


def test_two_scenes_of_one_name(data, tmp_path):
    write_recording(tmp_path / "room1", 9, frames=1)
    with pytest.raises(InputError, match=f"{tmp_path}/room1 would both be cached as caches/room1"):
        jobs_of(data, tmp_path / "room1")


def test_gpus_are_those_of_the_environment():
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "3,1"}) == ["3", "1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []


def test_a_camera_is_not_looked_for_among_files():
    found = jobs_of("camera:0")
    assert not found.many and found.jobs[0].source == "camera:0"
