"""A small rendered recording, cached once; tests that spoil it work on a copy."""

import shutil

import pytest

from moonseg_cli.main import main
from moonseg_jax.rooms import NO_CORRUPTION, write_room


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    """A folder with ``room/`` (6 frames and exact masks) and ``cache/`` of it."""
    folder = tmp_path_factory.mktemp("recording")
    room = write_room(folder / "room", seed=11, frames=6, size=(96, 128), rates=NO_CORRUPTION)
    assert (
        main(["cache", f"--source={room}", f"--masks={room}/masks", f"--out={folder}/cache"]) == 0
    )
    return folder


@pytest.fixture
def recording(pristine, tmp_path):
    """A copy of `pristine` to spoil."""
    shutil.copytree(pristine, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def refused(capsys):
    """Runs a command that must end with exit code 2 and one sentence; returns the sentence."""

    def run(*words: str) -> str:
        capsys.readouterr()
        assert main(list(words)) == 2
        sentence = capsys.readouterr().err.strip().splitlines()[-1]
        assert sentence.startswith(f"moonseg {words[0]}: ")
        assert "Traceback" not in sentence
        return sentence

    return run
