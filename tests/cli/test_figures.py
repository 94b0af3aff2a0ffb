"""The scripts of the paper's figures on a small recording."""

import re
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.figures import distillation, qualitative, state_tokens
from experiments.figures.panels import write_sheet
from moonseg_jax.structs import InputError
from moonseg_jax.weights import FOLDER
from tests.cli.predicted import write_predicted


def draw(monkeypatch, script, out, *words):
    monkeypatch.setattr(sys, "argv", ["figure", *map(str, words), f"--out={out}"])
    script.main()


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_components_of_reference_features(pristine, tmp_path, monkeypatch, capsys):
    weights = FOLDER / "classical.safetensors"
    words = [f"--cache={pristine}/cache", "--without", weights, "--with", weights]
    draw(monkeypatch, distillation, tmp_path / "figure.png", *words, "--frames=3")
    said = capsys.readouterr().out
    assert f"{weights}" in said and said.count("L_dist 0.") == 2
    pixels = pixels_of(tmp_path / "figure.png")
    assert pixels.shape[0] > 5 * 180 and pixels.shape[1] > 3 * distillation.WIDTH
    # Features have all three colours, each.
    assert (np.ptp(pixels[-180:-10, -700:], axis=(0, 1)) > 150).all()


def test_principal_colors_tell_directions_apart():
    """Whatever the length of the features is."""
    ways = np.eye(6)[[0, 1, 2, 3]] * np.array([1.0, 5.0, 0.1, 20.0])[:, None]
    features = np.tile(ways.reshape(1, 2, 2, 6), (3, 1, 1, 1))
    colors = distillation.principal_colors(features)
    assert colors.shape == (3, 2, 2, 3)
    assert len(np.unique(colors[0].reshape(4, 3), axis=0)) == 4
    np.testing.assert_array_equal(colors[0], colors[2])


def test_matrix_of_state_tokens(pristine, tmp_path, monkeypatch, capsys):
    cache = write_predicted(pristine / "cache", tmp_path / "cache")
    words = [f"--cache={cache}", f"--recording={pristine}/room", "--pairs=2"]
    draw(monkeypatch, state_tokens, tmp_path / "figure.png", *words)
    tokens, features = capsys.readouterr().out.splitlines()[:2]
    assert tokens.startswith("state tokens") and features.startswith("mean features")
    same, other = map(float, re.findall(r"(\d\.\d+) on", tokens))
    assert same > other
    assert pixels_of(tmp_path / "figure.png").shape[1] > 2 * state_tokens.WIDTH


def test_state_tokens_need_state_attention(pristine, tmp_path, monkeypatch):
    words = [f"--cache={pristine}/cache", f"--recording={pristine}/room"]
    with pytest.raises(InputError, match="holds no state attention"):
        draw(monkeypatch, state_tokens, tmp_path / "figure.png", *words)


def test_a_matrix_is_darker_where_more_alike():
    picture = np.asarray(
        state_tokens.draw_matrix(np.array([[0.0, 1.0]]), np.array([[True, False]]))
    )
    cell = state_tokens.CELL
    light, dark = (picture[cell + 5, x * cell + 5].astype(int).sum() for x in (1, 2))
    assert light > dark
    assert picture[cell, cell + 10].tolist() == [230, 80, 20]


def test_results_beside_a_baseline(pristine, tmp_path, monkeypatch, capsys):
    write_predicted(pristine / "cache", tmp_path / "caches" / "room")
    (tmp_path / "list.txt").write_text("room\n")
    words = [f"--caches={tmp_path}/caches", f"--ground-truth={pristine}", "--methods", "sam3d"]
    words += ["features", f"--scenes={tmp_path}/list.txt", "--association=sim3"]
    draw(monkeypatch, qualitative, tmp_path / "out", *words)
    assert capsys.readouterr().out.count("AP ") == 2
    assert (tmp_path / "out" / "sam3d" / "room" / "result.json").exists()
    pixels = pixels_of(tmp_path / "out" / "figure.png")
    height, width = qualitative.SIZE
    columns = [pixels[40 : 40 + height, -(i + 1) * (width + 8) :][:, :width] for i in range(4)]
    assert all((column < 200).any() for column in columns)


def test_instances_take_the_colours_of_what_they_are():
    truth = np.repeat([0, 1, 2], 10)
    labels = np.repeat([3, 2, 2, 1, 0], [5, 5, 9, 8, 3])
    assert (
        qualitative.alike(labels, truth).tolist()
        == np.repeat([5, 1, 1, 2, 0], [5, 5, 9, 8, 3]).tolist()
    )


def test_a_sheet_leaves_nothing_out(tmp_path):
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
    small, wide, high, last = (
        Image.new("RGB", size, color)
        for size, color in zip(((10, 10), (40, 10), (10, 30), (20, 20)), colors, strict=True)
    )
    rows = [[small, wide], [high, last]]
    write_sheet(tmp_path / "a" / "sheet.png", rows, ("one", "two"), ("x", "y"), [("a", "b")] * 2)
    pixels = pixels_of(tmp_path / "a" / "sheet.png")
    counts = [int((pixels == color).all(axis=-1).sum()) for color in colors]
    assert counts == [100, 400, 300, 400]
