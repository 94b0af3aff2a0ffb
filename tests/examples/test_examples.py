"""Every example runs as a user runs it, in a process of its own, and says what it should."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from moonseg_jax.rooms import CorruptionRates, write_room

EXAMPLES = Path(__file__).parents[2] / "examples"
FEW = "--frames=2"
SAYS = {
    "01_refine_one_frame": r"mask  0   before φ: .* after: ",
    "02_make_and_read_a_cache": r"2 frames, .*\n(.*\n)* +features_3d +float16 +2x24x32x55",
    "03_two_training_steps": r"step 1  loss \d.*\nstep 2  loss \d.*\n.*weights.safetensors",
    "04_online_on_a_folder": r"000001: \d+ masks(.*\n)*[1-9]\d* objects\n",
    "05_live_view": r"open http://127.0.0.1:\d+\n(.*\n)*000001: [1-9]\d* objects",
    "06_feed_a_camera": r"[1-9]\d* objects known, [1-9]\d* in sight; the largest is \d+, at",
}
# The others get a recording; these two make their own, as all do where none is given.
ALONE = {"03_two_training_steps", "06_feed_a_camera"}
FLAGS = {"01_refine_one_frame": [], "05_live_view": [FEW, "--no-wait", "--port=18780"]}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Where the examples run; with a room, and programs compiled by one kept for the next."""
    folder = tmp_path_factory.mktemp("examples")
    write_room(folder / "room", seed=7007, frames=2, size=(96, 128), rates=CorruptionRates())
    return folder


def test_all_are_listed():
    names = [file.stem for file in sorted(EXAMPLES.glob("*.py"))]
    assert names == sorted(SAYS)
    readme = (EXAMPLES / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)\.py`", readme, re.MULTILINE) == names


@pytest.mark.parametrize("name", SAYS)
def test_short_enough_to_read(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 60


@pytest.mark.parametrize("name", SAYS)
def test_runs(name, folder):
    if name == "05_live_view" and not importlib.util.find_spec("viser"):
        pytest.skip("needs the viewer extra")
    words = [*([] if name in ALONE else ["room"]), *FLAGS.get(name, [FEW])]
    compiled = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *words],
        cwd=folder,
        env=os.environ | compiled | {"PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(SAYS[name], done.stdout), done.stdout
    assert "Traceback" not in done.stderr
