"""Against what the published code said at tiny sizes (experiments/bridges/cut3r_parity.py)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bridges.backbones.cut3r.focal import fit_intrinsics
from tests.bridges.cut3r.formula import formula_images, formula_points

SIZE = (48, 64)
PIXELS = (slice(1, None, 5), slice(2, None, 5))
FRAMES = 3


@pytest.fixture(scope="module")
def published():
    with np.load(Path(__file__).parent / "published.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


# The published encoder rounds to float16, where a last bit of float32 may decide: 1e-4.
@pytest.mark.parametrize(
    ("model", "rule", "batch"), [("dpt", "cut3r", 2), ("linear", "cut3r", 2), ("dpt", "ttt3r", 1)]
)
def test_outputs_and_state_are_the_published_codes(model, rule, batch, published, request):
    model = request.getfixturevalue(model)
    state = model.init_state(batch)
    compared = 0
    for index, image in enumerate(formula_images(FRAMES, batch, SIZE)):
        output, state = model.step(image, state, with_attention=True, update_rule=rule)
        ours = {**vars(output), "state": state.tokens, "pose_memory": state.pose_memory}
        prefix = f"{model.config.name}/{rule}/{index}/"
        for name, theirs in published.items():
            if name.startswith(prefix):
                mine = ours[name.removeprefix(prefix)]
                if mine.shape != theirs.shape:
                    mine = mine[:, *PIXELS]
                error = (mine - theirs).abs().max() / theirs.abs().max()
                assert error < 1e-4, f"{name}: {error}"
                compared += 1
    assert compared == FRAMES * (10 if rule == "ttt3r" else 9)


def test_focal_length_is_the_published_one(published):
    ours = fit_intrinsics(formula_points((192, 256), 300.0))[:, 0, 0]
    # They count pixels from zero, we from their centres.
    torch.testing.assert_close(ours, published["focal"], rtol=1e-3, atol=0)


def test_focal_length_of_a_known_camera_despite_outliers():
    K = fit_intrinsics(formula_points((192, 256), 300.0))
    torch.testing.assert_close(K[:, 0, 0], torch.tensor([300.0]), rtol=0.02, atol=0)
    assert K[0, 0, 0] == K[0, 1, 1]
    assert K[0, :, 2].tolist() == [128.0, 96.0, 1.0]
