"""The recording that the evaluation is tested on, and a run of the commands."""

import pytest

from moonseg_cli.main import main
from moonseg_jax.rooms import NO_CORRUPTION, write_room
from moonseg_jax.weights import FOLDER
from tests.eval.conftest import recording

__all__ = ["recording"]


@pytest.fixture
def run_of_a_room(tmp_path):
    """The result of a rendered room, cached and segmented by the commands."""
    room = write_room(tmp_path / "room", seed=7001, frames=12, size=(192, 256), rates=NO_CORRUPTION)
    cache, result = tmp_path / "cache", tmp_path / "result"
    assert main(["cache", f"--source={room}", f"--masks={room}/masks", f"--out={cache}"]) == 0
    weights = f"--checkpoint={FOLDER}/classical.safetensors"
    assert main(["segment", f"--cache={cache}", weights, f"--out={result}"]) == 0
    return result
