"""CUT3R's geometry of several scenes at once is that of each by itself."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from bridges.backbones.cut3r import TINY_DPT, graphed
from bridges.backbones.cut3r_geometry import Cut3rGeometry, Cut3rSettings, make_runner
from moonseg_jax.structs import SourceFrame
from tests.bridges.cut3r.conftest import formula_model
from tests.bridges.cut3r.test_graphed import Replayed

SIZE = (32, 48)
SETTINGS = [
    Cut3rSettings(state_attention=True),
    Cut3rSettings(reset_every=2),
    Cut3rSettings("ttt3r"),
]


@pytest.fixture(params=SETTINGS)
def settings(request):
    return request.param


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Of tiny tensors, threads wait for each other only."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model():
    """Rounds nothing to float16, which would make a last bit of float32 one of float16."""
    return formula_model(replace(TINY_DPT, half_rope=False))


@pytest.fixture
def make(model, settings):
    runner = make_runner(model, SIZE, settings)
    return lambda: Cut3rGeometry(runner, "sha", settings)


def images_of(scene, frames):
    rng = np.random.default_rng(scene)
    return rng.integers(0, 256, (frames, *SIZE, 3)).astype(np.uint8)


def by_itself(geometry, images):
    source = SourceFrame("0", 0.0, images[0])
    geometry.begin(source)
    return [geometry(source, image) for image in images]


def assert_close(told, expected):
    for a, b in zip(told, expected, strict=True):
        for f in fields(a):
            x, y = getattr(a, f.name), getattr(b, f.name)
            if y is None:
                assert x is None
                continue
            assert x.dtype == y.dtype
            # Batches of another size add in another order.
            limit = (2e-3 if x.dtype == torch.float16 else 1e-5) * float(y.abs().max())
            torch.testing.assert_close(x, y, rtol=0, atol=limit)


def test_scenes_that_began_at_different_times(make):
    recordings = [images_of(scene, frames) for scene, frames in enumerate((4, 4, 2))]
    expected = [by_itself(make(), images) for images in recordings]
    scenes = [make() for _ in recordings]
    begins, told = (0, 1, 2), [[], [], []]
    for tick in range(5):
        live = [i for i in range(3) if begins[i] <= tick < begins[i] + len(recordings[i])]
        images = np.stack([recordings[i][tick - begins[i]] for i in live])
        results = Cut3rGeometry.batch([scenes[i] for i in live], images)
        for i, result in zip(live, results, strict=True):
            told[i].append(result)
    for mine, theirs in zip(told, expected, strict=True):
        assert_close(mine, theirs)


def test_several_frames_of_each_scene(make):
    recordings = [images_of(scene, 4) for scene in range(2)]
    expected = [by_itself(make(), images) for images in recordings]
    a, b = make(), make()
    images = np.stack([recordings[0][0], recordings[1][0], recordings[0][1], recordings[0][2]])
    told = Cut3rGeometry.batch([a, b, a, a], images)
    rest = Cut3rGeometry.batch([b, b, b, a], np.stack([*recordings[1][1:], recordings[0][3]]))
    assert_close([told[0], told[2], told[3], rest[3]], expected[0])
    assert_close([told[1], *rest[:3]], expected[1])


def test_a_scene_is_begun_again(make):
    geometry, images = make(), images_of(0, 3)
    first = by_itself(geometry, images)
    assert_close(by_itself(geometry, images), first)


def test_a_gpu_pads_to_what_it_has_captured(make, monkeypatch):
    """A stand-in replays by running again."""
    recordings = [images_of(scene, 3) for scene in range(3)]
    expected = [by_itself(make(), images) for images in recordings]
    captured = []

    def capture(function, *inputs):
        captured.append(len(inputs[0]))
        return Replayed(function, *inputs)

    monkeypatch.setattr(graphed, "Captured", capture)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    scenes = [make() for _ in recordings]
    runner = scenes[0].runner
    monkeypatch.setattr(runner, "on_gpu", True)
    first = Cut3rGeometry.batch(scenes[:2], np.stack([r[0] for r in recordings[:2]]), room=(4, 4))
    told = Cut3rGeometry.batch(
        scenes, np.stack([r[i] for r, i in zip(recordings, (1, 1, 0), strict=True)])
    )
    # An encoder and a step, once, for four.
    assert captured == [4, 4]
    assert_close([first[0], told[0]], expected[0][:2])
    assert_close([first[1], told[1]], expected[1][:2])
    assert_close([told[2]], expected[2][:1])
