"""The README's commands, as they stand there, on a small recording."""

import re
import shlex
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from moonseg_cli.main import main

README = Path(__file__).parents[2] / "README.md"
# A training that ends; everything else of the commands stays as it is.
SHORT = {
    "data.batch_clips": 1,
    "data.clip_frames": 2,
    "model.width": 16,
    "model.feed_forward": 16,
    "optimizer.warmup_steps": 0,
    "train.steps": 2,
    "train.eval_fraction": 0.0,
}


def commands():
    """Every ``moonseg`` line of the code blocks, in order."""
    blocks = re.findall(r"^```\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).splitlines()
    return [line for line in lines if line.startswith("moonseg ")]


def _read(file):
    with Image.open(file) as image:
        return np.asarray(image)


def _video(files, path):
    images = [_read(file) for file in files]
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.height, stream.width = images[0].shape[:2]
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.usefixtures("found_weights")
def test_every_command_runs_in_turn(pristine, tmp_path, monkeypatch):
    shutil.copytree(pristine / "room", tmp_path / "RECORDING")
    shutil.copytree(README.parent / "configs", tmp_path / "configs")
    (tmp_path / "CACHES").mkdir()
    shutil.copytree(pristine / "cache", tmp_path / "CACHES" / "room")
    _video(sorted((tmp_path / "RECORDING" / "color").iterdir()), tmp_path / "VIDEO.mp4")
    monkeypatch.chdir(tmp_path)
    lines = commands()
    assert len(lines) >= 7
    for line in lines:
        words = shlex.split(line.replace("VIDEO", "VIDEO.mp4"))[1:]
        if words[0] in ("train", "sweep"):
            words += [f"--config.{name}={value}" for name, value in SHORT.items()]
        assert main(words) == 0, line
