"""Every comparator from a cache's frames to a predictions folder and its score."""

import dataclasses

import numpy as np
import pytest

from comparators import METHODS, segment_cache
from comparators.__main__ import main
from moonseg_cli.eval import evaluate_results
from moonseg_jax.eval import read_predictions
from moonseg_jax.structs import Frame
from tests.comparators.scene import TiledRoom

# Tiles of 30 cm are less than some of the published least sizes.
SETTINGS = {
    "sam3d": {"voxel": 0.03, "min_points": 20},
    "ovir3d": {},
    "maskclustering": {},
    "onlineanyseg": {"min_share": 40 / (48 * 64), "min_instance": 40, "min_weight": 2},
}
CONFIGS = {
    name: dataclasses.replace(method.published, **SETTINGS[name])
    for name, method in METHODS.items()
}


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """A cache with exact masks, and its ground truth."""
    return TiledRoom(frames=12, spoil=False).write(tmp_path_factory.mktemp("tiles"))


@pytest.mark.parametrize("name", METHODS)
def test_perfect_masks_give_the_tiles(name, cached, tmp_path):
    cache, truth = cached
    count = segment_cache(name, cache, tmp_path / "out", CONFIGS[name])
    read = read_predictions(tmp_path / "out")
    assert read.num_instances == count >= 20
    assert read.config[name] == dataclasses.asdict(CONFIGS[name])
    assert read.checkpoint == name
    assert evaluate_results([tmp_path / "out"], [truth])["ap50"] > 0.65  # Found: 0.71 to 1.


@pytest.mark.parametrize("name", METHODS)
def test_frames_without_masks_and_without_points(name):
    room = _Emptied()
    scene = METHODS[name].segment(room, CONFIGS[name])
    assert all(labels.shape == (48, 64) for labels in scene.label_maps())
    assert len(list(scene.label_maps())) == 6


@pytest.mark.parametrize("name", METHODS)
def test_nothing_at_all(name):
    room = _Emptied(everything=True)
    scene = METHODS[name].segment(room, CONFIGS[name])
    assert scene.num_instances == 0
    assert not any(labels.any() for labels in scene.label_maps())


class _Emptied(TiledRoom):
    """Frame 0 and 3 have no masks, frame 4 no points; or none of anything."""

    def __init__(self, everything: bool = False):
        super().__init__(frames=6)
        self._everything = everything

    def frames(self):
        for i, frame in enumerate(super().frames()):
            yield _emptied(frame, self._everything or i in (0, 3), self._everything or i == 4)


def _emptied(frame: Frame, masks: bool, points: bool) -> Frame:
    if masks:
        nothing = np.zeros_like(frame.mask_valid)
        frame = dataclasses.replace(frame, masks=np.zeros_like(frame.masks), mask_valid=nothing)
    if points:
        nans = np.full_like(frame.points, np.nan)
        nowhere = np.zeros_like(frame.confidence)
        frame = dataclasses.replace(frame, points=nans, confidence=nowhere)
    return frame


def test_command(cached, tmp_path, capsys):
    words = ["--method=sam3d", f"--cache={cached[0]}", f"--out={tmp_path}/out"]
    assert main(words) == 0
    assert "instances" in capsys.readouterr().out
    assert main([*words[:1], f"--cache={tmp_path}", *words[2:]]) == 2
    assert capsys.readouterr().err.startswith("comparators: ")
