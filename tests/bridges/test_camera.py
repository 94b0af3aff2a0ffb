import functools
import signal
import threading
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import av
import numpy as np
import pytest

from bridges.sources import is_live, open_source
from bridges.sources.camera import CameraSource
from moonseg_jax.structs import InputError


def frame(index: int) -> av.VideoFrame:
    image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index, np.uint8), format="rgb24")
    image.pts, image.time_base = 700 + index, Fraction(1, 10)  # A camera's clock starts anywhere.
    return image


class FakeContainer:
    """A container of PyAV's, as far as a source looks at it; ``duration`` None as of cameras."""

    def __init__(self, frames, duration=None, video=("stream",)):
        self.frames, self.duration = frames, duration
        self.streams = SimpleNamespace(video=video)

    def decode(self, video):
        yield from self.frames

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def recorded(count, **kwargs):
    """Opens a stream that knows its length: every frame is waited for."""
    return CameraSource(
        "camera:0", open_container=lambda _: FakeContainer(map(frame, range(count)), 1), **kwargs
    )


def test_every_strideth_frame_in_order():
    source = recorded(10, stride=3)
    frames = list(source)
    assert (source.kind, source.lacks) == ("camera", ("depth", "poses", "intrinsics"))
    assert source.image_size == (48, 64) and len(source) == 0 and source.names == ()
    assert [f.name for f in frames] == ["000000", "000003", "000006", "000009"]
    assert [f.timestamp for f in frames] == pytest.approx([0, 0.3, 0.6, 0.9])
    assert [f.image[0, 0, 0] for f in frames] == [0, 3, 6, 9]
    assert len(list(source)) == 4  # Opened anew.


def test_max_frames():
    source = recorded(10, stride=2, max_frames=3)
    assert len(source) == 3
    assert [f.name for f in source] == ["000000", "000002", "000004"]


def test_the_newest_frame_of_a_live_camera():
    taken, ran, go = threading.Event(), threading.Event(), threading.Event()

    def arriving():
        yield frame(0)
        taken.wait(5)
        yield from map(frame, range(1, 10))
        ran.set()
        go.wait(5)

    containers = iter([FakeContainer([frame(0)]), FakeContainer(arriving())])
    source = CameraSource("0", open_container=lambda _: next(containers))
    frames = iter(source)
    assert next(frames).name == "000000"
    taken.set()
    assert ran.wait(5)
    assert next(frames).name == "000009"
    go.set()
    assert list(frames) == []
    assert source.passed_over == 8


def endless():
    index = 0
    while True:
        yield frame(index % 200)
        index += 1


def test_ctrl_c_ends_the_recording_and_keeps_what_is_done():
    before = signal.getsignal(signal.SIGINT)
    source = CameraSource("0", open_container=lambda _: FakeContainer(endless()))
    done = []
    for taken in source:
        done.append(taken.name)
        if len(done) == 3:
            signal.raise_signal(signal.SIGINT)
    assert len(done) == 3
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        for _ in source:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_leaving_early_stops_the_reader():
    source = CameraSource("0", open_container=lambda _: FakeContainer(endless()))
    threads = threading.active_count()
    frames = iter(source)
    next(frames)
    frames.close()
    assert threading.active_count() == threads


def test_no_frame_is_ready_yet():
    calls = []

    class Hesitant(FakeContainer):
        def decode(self, video):
            calls.append(1)
            if len(calls) % 2:
                raise av.error.BlockingIOError(11, "Resource temporarily unavailable")
            yield from self.frames

    source = CameraSource("0", open_container=lambda _: Hesitant([frame(0), frame(1)], 1))
    assert [f.name for f in source] == ["000000", "000001"]


@pytest.mark.parametrize("kind", [av.error.InvalidDataError, OSError])
def test_a_stream_that_breaks_off(kind):
    def breaking():
        yield frame(0)
        raise kind(1, "connection lost")

    source = CameraSource("0", open_container=lambda _: FakeContainer(breaking(), 1))
    frames = iter(source)
    next(frames)
    with pytest.raises(InputError, match=r"camera 0 cannot be read .*connection lost.*connect it"):
        next(frames)


def test_nothing_to_see():
    with pytest.raises(InputError, match="camera:0 sends no frame"):
        recorded(0)
    with pytest.raises(InputError, match="sends no video"):
        CameraSource("0", open_container=lambda _: FakeContainer([], video=()))


@pytest.mark.parametrize("address", ["97", "camera:97", "camera:No such thing"])
def test_there_is_no_such_camera(address):
    with pytest.raises(InputError, match=f"camera {address} cannot be read .*: connect it"):
        open_source(address)


def test_what_is_live(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert all(map(is_live, ["0", "005", "camera:1", "rtsp://host/a", "http://host:8080/video"]))
    assert not any(map(is_live, ["room", "clip.mp4", "./0", tmp_path / "0"]))
    (tmp_path / "005").mkdir()  # A scene of SceneNN.
    assert not is_live("005")


def test_a_stream_over_http(tmp_path):
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(8):
            container.mux(stream.encode(frame(10 * index).reformat(format="yuv420p")))
        container.mux(stream.encode())

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://user:secret@127.0.0.1:{server.server_port}/clip.mkv"
        source = open_source(url, stride=2)
        frames = list(source)
        server.shutdown()
    assert source.kind == "stream" and str(source.path) == "127.0.0.1/clip.mkv"
    assert [f.name for f in frames] == ["000000", "000002", "000004", "000006"]
