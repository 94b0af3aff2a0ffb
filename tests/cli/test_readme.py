"""The commands of README and documents, as they stand there, on small recordings."""

import re
import shlex
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from moonseg_cli.main import main
from tests.eval.layouts import as_seven_scenes
from tests.eval.trees import write_scannet, write_scenenn

ROOT = Path(__file__).parents[2]
# At least.
NUM_COMMANDS = {"README.md": 7, "docs/tutorial.md": 10, "docs/data.md": 5, "docs/decisions.md": 1}
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


def commands(document):
    """Every ``moonseg`` line of the plain code blocks, in order, and what it is said to print."""
    text = (ROOT / document).read_text().replace("\\\n", " ")
    found = []
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines = block.splitlines()
        if kind == "text":
            found[-1][1].extend(lines)
        if not kind:
            found += [(line, []) for line in lines if line.startswith("moonseg ")]
    return found


def without_numbers(line):
    return re.sub(r"[kMG]B", "MB", re.sub(r"\d+(\.\d+)?", "0", line)).split()


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


def _data_sets(room, root):
    write_scannet(root, (room, room))
    write_scenenn(root, (room, room))
    (root / "masks").rename(root / "cropformer")
    (root / "redkitchen").mkdir()
    as_seven_scenes(room, root / "redkitchen" / "seq-01")


@pytest.mark.usefixtures("found_weights")
@pytest.mark.parametrize("document", NUM_COMMANDS)
def test_every_command_runs_in_turn(document, pristine, tmp_path, monkeypatch, capsys):
    shutil.copytree(pristine / "room", tmp_path / "RECORDING")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "CACHES").mkdir()
    shutil.copytree(pristine / "cache", tmp_path / "CACHES" / "room")
    _data_sets(pristine / "room", tmp_path)
    _video(sorted((tmp_path / "RECORDING" / "color").iterdir()), tmp_path / "VIDEO.mp4")
    monkeypatch.chdir(tmp_path)
    lines = commands(document)
    assert len(lines) >= NUM_COMMANDS[document]
    for line, printed in lines:
        words = shlex.split(line.replace("VIDEO", "VIDEO.mp4"))[1:]
        if words[0] in ("train", "sweep"):
            words += [f"--config.{name}={value}" for name, value in SHORT.items()]
        capsys.readouterr()
        assert main(words) == 0, line
        seen = [without_numbers(text) for text in "".join(capsys.readouterr()).splitlines()]
        for expected in printed:
            assert without_numbers(expected) in seen, expected
