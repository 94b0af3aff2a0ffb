"""Batches of any size through steps that were captured for a few."""

import torch

from bridges.backbones import batch_graphs
from bridges.backbones.batch_graphs import BatchGraphs, batch_for, pad_rows


def test_the_smallest_batch_that_holds_all():
    assert batch_for(3, [8, 4, 2], 1) == 4
    assert batch_for(9, [8, 4], 1) == 9
    assert batch_for(1, [], 8) == 8


def test_padding_repeats_the_last_row():
    x = torch.arange(6.0).reshape(2, 3)
    assert pad_rows(x, 2) is x
    assert pad_rows(x, 4).tolist() == [[0, 1, 2], [3, 4, 5], [3, 4, 5], [3, 4, 5]]


class FakeCaptured:
    """Writes into the same memory at every call, as a graph does."""

    def __init__(self, function, x):
        self.made.append(tuple(x.shape))
        self.function, self.outputs = function, function(torch.zeros_like(x.as_subclass(OnGpu)))

    def __call__(self, x):
        for static, new in zip(self.outputs, self.function(x), strict=True):
            static.copy_(new)
        return self.outputs


class OnGpu(torch.Tensor):
    is_cuda = True


def test_captured_once_a_size_and_nothing_is_overwritten(monkeypatch):
    monkeypatch.setattr(batch_graphs, "Captured", FakeCaptured)
    monkeypatch.setattr(FakeCaptured, "made", [], raising=False)
    run = BatchGraphs(lambda x: (x + 1, 2 * x))
    batches = [torch.full((n, 2), float(n)).as_subclass(OnGpu) for n in (4, 2, 4, 5)]
    told = [run(x) for x in batches]
    assert FakeCaptured.made == [(4, 2), (5, 2)]
    for x, (more, twice) in zip(batches, told, strict=True):
        assert torch.equal(more, x + 1) and torch.equal(twice, 2 * x)
    run(torch.ones(4, 3).as_subclass(OnGpu))
    assert FakeCaptured.made[-1] == (4, 3)


def test_on_a_cpu_nothing_is_captured(monkeypatch):
    monkeypatch.setattr(batch_graphs, "Captured", None)
    (told,) = BatchGraphs(lambda x: (x + 1,))(torch.ones(2, 3))
    assert torch.equal(told, torch.full((2, 3), 2.0))
