"""What surrounds the CUDA graphs, on the CPU: a stand-in replays by running again."""

from dataclasses import fields

import pytest
import torch

from bridges.backbones.cut3r import Cut3rStream, GraphedCut3r, graphed
from tests.bridges.cut3r.formula import formula_images

SIZE = (48, 64)


class Replayed:
    """Reads and writes the same tensors at every call, as a graph does."""

    def __init__(self, function, *inputs):
        self.function = function
        self.inputs = tuple(x.clone() for x in inputs)
        self.outputs = function(*self.inputs)

    def __call__(self, *inputs):
        for static, new in zip(self.inputs, inputs, strict=True):
            static.copy_(new)
        self._write(self.outputs, self.function(*self.inputs))
        return self.outputs

    def _write(self, static, new):
        if isinstance(static, torch.Tensor):
            static.copy_(new)
        elif isinstance(static, tuple):
            for s, n in zip(static, new, strict=True):
                self._write(s, n)
        elif static is not None:
            for f in fields(static):
                self._write(getattr(static, f.name), getattr(new, f.name))


@pytest.fixture
def make(linear, monkeypatch):
    monkeypatch.setattr(graphed, "Captured", Replayed)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    return lambda **options: GraphedCut3r(linear, SIZE, **options)


def test_stands_in_for_the_model_and_overwrites_nothing(make, linear):
    stand_in = make(update_rule="ttt3r")
    images = formula_images(3, 1, SIZE)
    streams = [Cut3rStream(m, "ttt3r", reset_every=2) for m in (linear, stand_in)]
    told = [[stream(image) for image in images] for stream in streams]
    for mine, theirs in zip(*told, strict=True):
        for f in fields(mine):
            if getattr(mine, f.name) is not None:
                torch.testing.assert_close(getattr(mine, f.name), getattr(theirs, f.name))


def test_takes_any_number_of_masks_up_to_the_captured(make, linear):
    stand_in = make(queries=4, with_attention=True)
    image = formula_images(1, 1, SIZE)[0]
    for q in (3, 1):
        masks = torch.rand(1, q, 12, generator=torch.Generator().manual_seed(q))
        output, _ = stand_in.step(image, stand_in.init_state(), masks)
        expected, _ = linear.step(image, linear.init_state(), masks)
        assert output.state_tokens.shape == (1, q, 10)
        torch.testing.assert_close(output.state_tokens, expected.state_tokens)
        assert output.state_attention is None
    output, _ = stand_in.step(image, stand_in.init_state(), with_attention=True)
    assert output.state_tokens is None
    assert output.state_attention.shape == (1, 10, 3, 4)
    with pytest.raises(ValueError, match="up to 4 masks, called with 5"):
        stand_in.step(image, stand_in.init_state(), torch.zeros(1, 5, 12))


def test_what_was_not_captured_is_refused(make):
    stand_in = make()
    image, state = formula_images(1, 1, SIZE)[0], stand_in.init_state()
    with pytest.raises(ValueError, match="state attention"):
        stand_in.step(image, state, with_attention=True)
    with pytest.raises(ValueError, match="captured for cut3r"):
        stand_in.step(image, state, update_rule="ttt3r")
    assert stand_in.encode(image.repeat(3, 1, 1, 1)).shape == (3, 3, 4, 64)
