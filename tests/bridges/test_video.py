import av
import numpy as np
import pytest

from bridges.sources import open_source
from moonseg_jax.structs import InputError

FRAMES, RATE = 12, 10


@pytest.fixture
def video(tmp_path):
    """Twelve grey frames, each brighter than the last, the top rows white."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(FRAMES):
            image = np.full((48, 64, 3), 15 * i, np.uint8)
            image[:8] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def _grey(frame):
    return float(frame.image[20:40, 20:40].mean())


def test_video(video):
    source = open_source(video)
    frames = list(source)
    assert (source.kind, len(source), len(frames)) == ("video", FRAMES, FRAMES)
    assert source.lacks == ("depth", "poses", "intrinsics")
    assert [f.name for f in frames] == list(source.names)
    np.testing.assert_allclose([f.timestamp for f in frames], np.arange(FRAMES) / RATE)
    np.testing.assert_allclose([_grey(f) for f in frames], 15 * np.arange(FRAMES), atol=6)


def test_stride_and_max_frames(video):
    source = open_source(video, stride=5, max_frames=2)
    frames = list(source)
    assert [f.name for f in frames] == ["000000", "000005"] and len(source) == 2
    assert frames[1].timestamp == pytest.approx(0.5)
    assert _grey(frames[1]) == pytest.approx(75, abs=6)


def test_stopping_early_leaves_nothing_behind(video):
    for frame in open_source(video):
        assert frame.name == "000000"
        break


def test_phone_held_upright(video):
    # The track header's matrix, as phones write it: to be shown turned clockwise by 90 degrees.
    data = bytearray(video.read_bytes())
    matrix = data.index(b"tkhd") + 44
    one, minus_one = (0x10000).to_bytes(4, "big"), (-0x10000).to_bytes(4, "big", signed=True)
    zero = bytes(4)
    turned = zero + one + zero + minus_one + zero + zero + (48 << 16).to_bytes(4, "big") + zero
    data[matrix : matrix + 32] = turned
    video.write_bytes(data)
    frame = next(iter(open_source(video)))
    assert frame.image.shape == (64, 48, 3)
    assert frame.image[:, -6:].mean() > 240 and frame.image[:, :30].mean() < 20


def test_unreadable_video(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video at all" * 100)
    with pytest.raises(InputError, match=r"clip\.mp4 cannot be read as a video \(Invalid data"):
        open_source(path)


def test_truncated_video(video):
    video.write_bytes(video.read_bytes()[:600])
    with pytest.raises(InputError, match=r"clip\.mp4"):
        list(open_source(video))


def test_sound_only(tmp_path):
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="holds no video stream"):
        open_source(path)
