"""Backbones ahead of whoever takes their frames."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from moonseg_cli.live import LiveRecording
from moonseg_jax.structs import InputError
from tests.reference.box_room import BoxRoom

ROOM = BoxRoom()


class FakeBridge:
    """Frames of a room; remembers which thread made which, and what was closed."""

    def __init__(self, names, fails_at=None):
        self.source = SimpleNamespace(names=names, path="room")
        self.info, self.skipped = ROOM.info, []
        self.fails_at, self.threads, self.closed = fails_at, [], False
        self.third = threading.Event()

    def frames(self):
        try:
            for index in range(4):
                if index == self.fails_at:
                    raise InputError("frame is broken")
                self.threads.append(threading.get_ident())
                if index == 2:
                    self.third.set()
                yield f"{index}", ROOM.frame(index)
        finally:
            self.closed = True


def test_a_recordings_frames_are_made_in_one_other_thread_in_order():
    bridge = FakeBridge(("0", "1", "2", "3"))
    recording = LiveRecording(bridge)
    told = [int(frame.colors[0, 0, 0]) for frame in recording.frames()]
    assert told == [0, 1, 2, 3] and recording.info.frame_names == ("0", "1", "2", "3")
    assert len(set(bridge.threads)) == 1 and threading.get_ident() not in bridge.threads
    assert recording.cameras[0].shape == (4, 4, 4) and bridge.closed
    np.testing.assert_array_equal(recording.colors(3), ROOM.frame(3).colors)


def test_what_is_made_ahead_is_not_yet_the_recordings():
    bridge = FakeBridge(("0", "1", "2", "3"))
    recording = LiveRecording(bridge, ahead=2)
    frames = recording.frames()
    next(frames)
    assert bridge.third.wait(30) and recording.info.frame_names == ("0",)
    frames.close()
    assert bridge.closed


@pytest.mark.parametrize(("names", "ahead"), [((), 1), (("0", "1", "2", "3"), 0)])
def test_a_live_source_is_not_run_ahead_of(names, ahead):
    bridge = FakeBridge(names)
    frames = LiveRecording(bridge, ahead).frames()
    next(frames)
    assert bridge.threads == [threading.get_ident()]
    frames.close()


def test_an_error_arrives_when_its_frames_turn_comes():
    bridge = FakeBridge(("0", "1", "2", "3"), fails_at=2)
    recording = LiveRecording(bridge)
    with pytest.raises(InputError, match="broken"):
        list(recording.frames())
    assert recording.info.frame_names == ("0", "1") and bridge.closed
