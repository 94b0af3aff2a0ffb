"""`moonseg sweep` on one small cached recording."""

from argparse import ArgumentParser, Namespace

import pytest
from PIL import Image

from moonseg_cli import sweep
from moonseg_jax.models import load_weights
from moonseg_jax.structs import InputError

CONFIG = """
from moonseg_jax.config import default_config

def get_config():
    config = default_config()
    config.model.update(width=16, heads=2, feed_forward=16, eta_layers=1, psi_layers=1)
    config.model.refine_layers = 1
    config.data.update(batch_clips=1, clip_frames=2, max_masks=32)
    config.train.update(steps=4, log_every=1, checkpoint_every=2)
    return config

def get_sweep():
    rates = (1e-3, 1e38)
    return [{"seed": i, "optimizer.learning_rate": rate} for i in (0, 1) for rate in rates]
"""


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "config.py"
    file.write_text(CONFIG)
    return file


def parsed(*words: str, overrides: tuple[str, ...] = ()) -> Namespace:
    parser = ArgumentParser()
    sweep.add_arguments(parser)
    return Namespace(**vars(parser.parse_args(words)), overrides=list(overrides))


def test_a_table_and_curves(config, pristine, tmp_path, capsys):
    words = [f"--config={config}", f"--cache={pristine}/cache", f"--workdir={tmp_path}/run"]
    assert sweep.run(parsed(*words)) == 0
    printed = capsys.readouterr().out
    table = (tmp_path / "run" / "table.md").read_text()
    assert table in printed and "4 of 4 steps" in printed
    header, _, *rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert header == [
        "member",
        "optimizer.learning_rate",
        "seed",
        "best score",
        "at step",
        "weights",
    ]
    best = {row[0]: row for row in rows}
    assert float(best["0"][3]) > 0 and "not finite from step" in best["1"][-1]
    assert {row[0] for row in rows[:2]} == {"0", "2"}
    load_weights(best["2"][-1])
    with Image.open(tmp_path / "run" / "curves.png") as image:
        colors = {color for _, color in image.convert("RGB").getcolors(1 << 20)}
    assert len(colors) > 5


def test_a_field_that_varies_cannot_be_overridden(config):
    with pytest.raises(InputError, match=r"--config\.seed=3 has no effect"):
        sweep.load_sweep(str(config), ["--config.seed=3"])
    assert len(sweep.load_sweep(str(config), ["--config.loss.dist=0.2"])) == 4


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1", "says nothing to sweep"),
        ("def get_sweep(): return [3]", "no list of dicts"),
        ("def get_sweep(): return 1 / 0", "division by zero"),
    ],
)
def test_a_sweep_that_is_none_is_refused(tmp_path, text, sentence):
    file = tmp_path / "config.py"
    file.write_text(text)
    with pytest.raises(InputError, match=sentence):
        sweep.load_sweep(str(file), [])


def test_without_a_file_there_is_no_sweep():
    with pytest.raises(InputError, match="says nothing to sweep"):
        sweep.load_sweep(None, [])


def test_no_cluster_is_refused(config, pristine, tmp_path):
    words = [f"--config={config}", f"--cache={pristine}/cache", f"--workdir={tmp_path}/run"]
    with pytest.raises(InputError, match="no other processes to train with"):
        sweep.run(parsed(*words, "--distributed=host"))
