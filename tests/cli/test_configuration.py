import pytest

from moonseg_cli.configuration import apply_overrides, load_config
from moonseg_jax.config import default_config
from moonseg_jax.structs import InputError


def test_overrides_keep_types_and_leave_the_original_alone():
    config = default_config()
    words = [
        "--config.optimizer.learning_rate=3e-4",
        "--config.model.context=false",
        "--config.memory.row_capacity=64",
        "--config.online.box_margin=1",
        "--config.model.seg_logits=cosine",
    ]
    changed = apply_overrides(config, words)
    assert changed.optimizer.learning_rate == 3e-4
    assert changed.model.context is False
    assert changed.memory.row_capacity == 64
    assert changed.online.box_margin == 1.0
    assert changed.model.seg_logits == "cosine"
    assert config.memory.row_capacity == default_config().memory.row_capacity


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("--config.optimizer.learning_rat=1", "did you mean optimizer.learning_rate"),
        ("--config.memory.row_capacity=many", "memory.row_capacity takes a value of type int"),
        ("--config.memory.row_capacity=1.5", "memory.row_capacity takes a value of type int"),
        ("--config.model.context=7", "model.context takes a value of type bool"),
        ("--config.memory.row_capacity", "has no value"),
    ],
)
def test_wrong_overrides_are_refused_in_words(word, sentence):
    with pytest.raises(InputError, match=sentence):
        apply_overrides(default_config(), [word])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1", "no get_config"),
        ("def get_config(:", "cannot be used"),
        (
            "from moonseg_jax.config import default_config\n"
            "def get_config():\n  c = default_config()\n  c.model.widht = 3\n  return c",
            "widht",
        ),
    ],
)
def test_wrong_config_files_are_refused_in_words(tmp_path, text, sentence):
    file = tmp_path / "config.py"
    file.write_text(text)
    with pytest.raises(InputError, match=sentence) as caught:
        load_config(str(file))
    assert "\n" not in str(caught.value)


def test_missing_config_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_config(str(tmp_path / "none.py"))


@pytest.mark.parametrize("name", ["classical", "classical_distillation", "classical_refinement"])
def test_shipped_configs_load(name):
    assert load_config(f"configs/{name}.py").model.width == 128
