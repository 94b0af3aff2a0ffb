"""A piece of a training knows its time, tells where it went and is over when it is over."""

import faulthandler
import signal
import time
from threading import Event

import pytest

from experiments.mini_backbones.pieces import TO_SAVE, Clock, Piece, Spent, leave_in_time


@pytest.fixture
def now(monkeypatch):
    """The time, in a list."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def signals():
    """Leaves signals and timers as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM)}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_clock_ends_a_piece_and_a_training(now):
    clock = Clock(Piece(ends=200.0, total=100.0), before=20.0)
    assert clock.seconds == 20
    now[0] = 110.0
    clock.start()
    now[0] = 140.0
    assert (clock.seconds, clock.progress, clock.over) == (50, 0.5, False)
    assert clock.left == 60 - TO_SAVE
    now[0] = 191.0
    assert clock.over  # Of 100 seconds, 101 are spent.
    last = Clock(Piece(ends=300.0, total=1e6, last=True), before=20.0)
    last.start()
    now[0] = 290.0
    assert 0.95 < last.progress < 1
    now[0] = 293.0
    assert last.progress == 1


def test_seconds_count_where_they_went(now):
    spent = Spent(now[0], "start")
    now[0] += 2
    with spent.on("steps"):
        now[0] += 3
        with spent.on("compile"):
            now[0] += 40
        now[0] += 1
    now[0] += 0.5
    assert str(spent) == "46.5 s: start 2.5, steps 4.0, compile 40.0"


def test_whoever_waits_too_long_is_interrupted(signals):
    leave_in_time(Piece(ends=time.monotonic(), total=1.0))
    with pytest.raises(SystemExit, match=r"SIGALRM in .*: the piece is over"):
        Event().wait(60)


def test_whoever_is_told_to_terminate_leaves(signals):
    leave_in_time(Piece(ends=time.monotonic() + 600, total=1.0))
    with pytest.raises(SystemExit, match=r"SIGTERM in .*: the piece is over"):
        signal.raise_signal(signal.SIGTERM)
