"""The code of docs/api.md, run as it stands there, from top to bottom."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from moonseg_jax import FrameResult
from moonseg_jax.eval import read_predictions
from moonseg_jax.weights import FOLDER

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture
def folder(cached, tmp_path, monkeypatch):
    """What the page's file names stand for."""
    shutil.copytree(cached, tmp_path / "CACHE")
    shutil.copytree(cached.parent / "room", tmp_path / "RECORDING")
    (tmp_path / "RUN").mkdir()
    shutil.copy(FOLDER / "classical.safetensors", tmp_path / "RUN" / "weights.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_runs_in_turn(folder):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 6
    names = {}
    for block in blocks:
        exec(compile(block, PAGE, "exec"), names)
    assert len(names["instances"]) > 0
    assert read_predictions(folder / "RESULT").num_instances == names["scene"].num_instances

    rgb = np.kron(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, np.ones((160, 160), np.uint8))
    K = np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]])
    image = np.repeat(rgb[..., None], 3, axis=-1)
    result = names["on_image"](image, np.full((480, 640), 2.0), np.eye(4), K, 12.5)
    assert result.is_new.any()


def test_the_table_names_fields_that_exist():
    fields = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert len(fields) == 6
    assert set(fields) <= {*FrameResult.__dataclass_fields__, *vars(FrameResult)}
