import argparse
import importlib.util
import threading
import urllib.request

import av
import numpy as np
import pytest
from PIL import Image

from moonseg_cli import view
from moonseg_cli.main import main
from moonseg_cli.segment import segment_cache
from moonseg_jax.eval import read_predictions
from moonseg_jax.structs import InputError

needs_viser = pytest.mark.skipif(not importlib.util.find_spec("viser"), reason="no viser")


@pytest.fixture(scope="module")
def result(pristine):
    segment_cache(pristine / "cache", pristine / "result", "none")
    return pristine / "result"


def run(*words):
    parser = argparse.ArgumentParser()
    view.add_arguments(parser)
    view.run(parser.parse_args([str(word) for word in words]))


def test_pictures_without_a_display(result, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    png, mp4 = tmp_path / "new" / "a.png", tmp_path / "a.mp4"
    run(result, "--headless", f"--png={png}", f"--mp4={mp4}", "--turn-frames=4")
    assert capsys.readouterr().out.split() == [str(png), str(mp4)]
    with Image.open(png) as image:
        assert image.size == (960, 720)
        assert (np.asarray(image) < 200).any(-1).mean() > 0.05
    with av.open(str(mp4)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
    assert len(frames) == 4 and frames[0].shape == (480, 640, 3)
    assert np.abs(frames[0].astype(int) - frames[1]).mean() > 2  # It turns.


@pytest.mark.parametrize("words", [["--headless"], ["--png=a.png"], ["--mp4=a.mp4"]])
def test_headless_and_files_go_together(result, words):
    with pytest.raises(InputError, match="--headless goes with"):
        run(result, *words)


def test_a_file_that_cannot_be_written(result, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        run(result, "--headless", f"--png={tmp_path}/file/a.png")


def test_something_else_than_a_result(tmp_path):
    with pytest.raises(InputError, match="not a predictions folder"):
        run(tmp_path)


def test_without_viser_the_extra_is_named(result, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"moonseg-jax\[viewer\].*--headless"):
        run(result)


def test_a_cache_that_is_gone(result, tmp_path, capsys):
    predictions = read_predictions(result)
    assert view.recording_of(predictions).info.scene == predictions.info.scene
    object.__setattr__(predictions, "cache", str(tmp_path / "gone"))
    assert view.recording_of(predictions) is None
    assert "without pictures" in capsys.readouterr().out
    object.__setattr__(predictions, "cache", "")
    assert view.recording_of(predictions) is None


@needs_viser
def test_the_page_is_served_to_this_machine_only(result, capsys, monkeypatch):
    from moonseg_jax.viz.viewer.page import Viewer

    opened = []

    def wait(viewer):
        opened.append(viewer._server.get_host())
        with urllib.request.urlopen(viewer.address) as answer:
            assert b"<html" in answer.read().lower()
        viewer.close()

    monkeypatch.setattr(Viewer, "wait", wait)
    run(result, "--port=18411")
    assert opened == ["127.0.0.1"]
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")
    assert not [t for t in threading.enumerate() if t.name == "viewer"]


@needs_viser
def test_an_address_of_another_machine(result):
    with pytest.raises(InputError, match="cannot be listened at"):
        run(result, "--host=192.0.2.1")


@needs_viser
def test_a_page_that_fills_in(pristine, tmp_path, monkeypatch):
    from moonseg_jax.viz.viewer.page import Viewer

    told = []
    monkeypatch.setattr(Viewer, "add_frame", lambda viewer, frame, said: told.append(said))
    monkeypatch.setattr(Viewer, "wait", lambda viewer: (told.append("served"), viewer.close()))
    words = (f"--cache={pristine}/cache", f"--out={tmp_path}/result", "--view", "--port=18431")
    assert main(["segment", *words]) == 0
    *frames, last = told
    assert [said.num_rows > 0 for said in frames] == [True] * 6 and last == "served"
    assert (tmp_path / "result" / "picture.png").exists()


def test_a_page_without_viser_is_refused_before_the_work(pristine, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    sentence = refused("segment", f"--cache={pristine}/cache", f"--out={tmp_path}/new", "--view")
    assert "moonseg-jax[viewer]" in sentence and not (tmp_path / "new").exists()
