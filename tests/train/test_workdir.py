import json

import pytest

from moonseg_jax.structs import InputError
from moonseg_jax.train.workdir import open_workdir
from tests.train.rooms import tiny_config

SCENES = ["a", "b"]


@pytest.fixture
def started(tmp_path):
    open_workdir(tmp_path / "run", tiny_config(), SCENES)
    return tmp_path / "run"


def test_a_new_run_writes_its_config(started):
    stored = json.loads((started / "config.json").read_text())
    assert stored == {"config": tiny_config().to_dict(), "scenes": SCENES}


def test_an_empty_folder_will_do(tmp_path):
    assert open_workdir(tmp_path, tiny_config(), SCENES).config.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.width", 32),
        ("loss.xseg", 0.0),
        ("memory.gradient", "stop"),
        ("data.batch_clips", 4),
        ("optimizer.learning_rate", 1e-4),
        ("train.steps", 50),
        ("train.dtype", "bfloat16"),
        ("seed", 1),
    ],
)
def test_another_config_is_refused_by_name(started, field, value):
    before = (started / "config.json").read_text()
    with pytest.raises(InputError, match=rf"{field}=\S+ and cannot go on with {value}"):
        open_workdir(started, tiny_config(**{field: value}), SCENES)
    assert (started / "config.json").read_text() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [("train.log_every", 1), ("data.prefetch_batches", 4), ("online.merge_threshold", 0.5)],
)
def test_what_changes_no_result_may_change(started, field, value):
    changed = tiny_config(**{field: value})
    open_workdir(started, changed, SCENES)
    assert json.loads((started / "config.json").read_text())["config"] == changed.to_dict()


def test_a_field_of_another_version_is_refused_by_name(started):
    stored = json.loads((started / "config.json").read_text())
    stored["config"]["model"]["depth"] = 3
    (started / "config.json").write_text(json.dumps(stored))
    with pytest.raises(InputError, match=r"model\.depth=3 and cannot go on with unknown"):
        open_workdir(started, tiny_config(), SCENES)


def test_other_scenes_are_refused(started):
    with pytest.raises(InputError, match="other scenes"):
        open_workdir(started, tiny_config(), ["a", "c"])


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("...")
    with pytest.raises(InputError, match="not empty and holds no run"):
        open_workdir(tmp_path, tiny_config(), SCENES)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("text", ["", "[]", '{"config": 3}', '{"name": "a web project"}'])
def test_a_config_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json is not the config of a run"):
        open_workdir(tmp_path, tiny_config(), SCENES)


def test_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="is a file"):
        open_workdir(tmp_path / "run", tiny_config(), SCENES)
