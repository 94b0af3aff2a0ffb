"""Work beside the training comes in order, raises where it is taken, and stops when told."""

import time
from itertools import count
from threading import Event

import pytest
import torch

from experiments.mini_backbones.beside import Feed, made_ahead

CPU = torch.device("cpu")


def endless(stop):
    yield from count()


def test_what_is_made_is_taken_in_order():
    feed = Feed(endless, CPU)
    assert [feed.take(60) for _ in range(5)] == list(range(5))
    feed.close()


def test_who_waits_for_nothing_gets_none():
    def never(stop):
        stop.wait()
        yield 0

    feed = Feed(never, CPU)
    assert feed.take(0.05) is None
    assert feed.take(-1) is None
    feed.close()


def test_errors_are_raised_where_it_is_taken():
    def fail(stop):
        yield 0
        raise ValueError("no room")

    feed = Feed(fail, CPU)
    assert feed.take(60) == 0
    with pytest.raises(ValueError, match="no room"):
        feed.take(60)
    feed.close()


def test_without_processes():
    stop = Event()
    made = made_ahead(abs, iter([[-1, 2], [-3]]), 0, stop)
    assert next(made) == [1, 2]
    stop.set()
    assert list(made) == []


@pytest.mark.slow
def test_processes_stop_whatever_they_are_at():
    stop = Event()
    tasks = [[0.0, 0.0], *[[3600.0]] * 20]
    made = made_ahead(time.sleep, iter(tasks), 2, stop)
    assert next(made) == [None, None]
    stop.set()
    assert list(made) == []  # An hour later, if it waited.
