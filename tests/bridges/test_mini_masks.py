"""The mini mask model, with random weights and with made-up answers of its network."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bridges.backbones.mini_mask_net import (
    WINDOW,
    MiniMaskConfig,
    MiniMaskNet,
    Told,
    mask_logits,
)
from bridges.backbones.mini_masks import MiniMasks
from bridges.checkpoints import tensors_sha256
from moonseg_jax.structs import InputError, SourceFrame

CONFIG = MiniMaskConfig(widths=(4, 6, 8, 8), depth=1, channels=3)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = MiniMaskNet(CONFIG)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)


def found(masks, image):
    return masks(SourceFrame("0", 0.0, image), image)


def test_sizes():
    model = MiniMaskNet(MiniMaskConfig())
    assert sum(p.numel() for p in model.parameters()) < 1.4e6
    assert sum(2 * tensor.numel() for tensor in model.state_dict().values()) < 2.9e6


def test_there_is_a_cell_every_8_pixels_and_a_feature_every_2(model):
    told = model(torch.rand(2, 3, 48, 64))
    assert told.scores.shape == (2, 6, 8)
    assert told.kernels.shape == (2, 6, 8, 3 + WINDOW)
    assert told.features.shape == (2, 3, 24, 32)


def test_masks_lie_on_the_grid_and_do_not_overlap(model, image):
    masks = found(MiniMasks(model, image_size=64, confidence=0.0, min_area=1), image)
    assert masks.masks.shape[1:] == (48, 64)
    assert masks.masks.dtype == bool
    assert len(masks.masks) == len(masks.scores) > 0
    assert masks.masks.any(axis=(1, 2)).all()
    assert masks.masks.sum(axis=0).max() == 1
    assert np.all(np.diff(masks.scores) <= 0)
    assert masks.scores.dtype == np.float32


def test_a_frame_without_masks(model, image):
    masks = found(MiniMasks(model, image_size=64, confidence=0.999), image)
    assert masks.masks.shape == (0, 48, 64)
    assert masks.scores.shape == (0,)


@pytest.mark.parametrize("size", [(96, 128), (72, 128), (80, 80)])
def test_images_of_any_shape(model, size):
    image = np.zeros((*size, 3), np.uint8)
    masks = found(MiniMasks(model, image_size=64, confidence=0.0, min_area=1), image)
    assert masks.masks.shape[1:] == (size[0] // 2, size[1] // 2)


def test_many_at_once_are_the_same_as_one(model, image):
    masks = MiniMasks(model, image_size=64, confidence=0.0, min_area=1)
    both = masks.batch(np.stack([image[::-1], image]))
    assert np.mean(both[1].masks.any(0) != found(masks, image).masks.any(0)) < 0.01


def test_norms_are_folded_without_a_change(model, image):
    masks = MiniMasks(model, image_size=64)
    pixels = masks.prepare(image[None])
    with torch.no_grad():
        for folded, plain in zip(masks.model(pixels), model(pixels), strict=True):
            torch.testing.assert_close(folded, plain, rtol=1e-3, atol=1e-4)
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())


def test_a_kernel_is_a_window_about_its_cell():
    at = torch.tensor([[[2, 1], [0, 5]]])
    kernels = torch.zeros(1, 2, 1 + WINDOW)
    kernels[0, :, 1:] = torch.tensor([1.0, 0.3, -0.2, -2.0, -3.0, 0.5])
    kernels[0, :, 0] = 2.0
    features = torch.rand(1, 1, 24, 32)
    logits = mask_logits(kernels, at, features)[0]
    for (row, column), logit in zip(at[0].tolist(), logits, strict=True):
        y, x = np.meshgrid(np.arange(24) + 0.5, np.arange(32) + 0.5, indexing="ij")
        dy, dx = (y - 4 * (row + 0.5)) / 8, (x - 4 * (column + 0.5)) / 8  # A quarter is 8.
        window = 1 + 0.3 * dx - 0.2 * dy - 2 * dx**2 - 3 * dy**2 + 0.5 * dx * dy
        expected = 2 * features[0, 0] + torch.tensor(window, dtype=torch.float32)
        torch.testing.assert_close(logit, expected, rtol=1e-4, atol=1e-3)


class Answers(torch.nn.Module):
    """Two objects side by side, named by every cell on them; better so, the nearer the middle."""

    def forward(self, pixels):
        left = torch.zeros(24, 32)
        left[4:20, 2:14] = 1
        right = torch.zeros(24, 32)
        right[4:20, 18:30] = 1
        features = torch.stack([left, right])[None]
        kernels = torch.zeros(1, 6, 8, 2 + WINDOW)
        kernels[0, :, :4, 0] = kernels[0, :, 4:, 1] = 4.0
        kernels[..., 2] = -2.0
        scores = torch.full((1, 6, 8), -9.0)
        scores[0, 1:5, 0:3], scores[0, 1:5, 5:8] = 1.0, 2.0
        scores[0, 2, 6] = 3.0
        return Told(scores, kernels, features)


def test_every_object_comes_once(model, image):
    masks = MiniMasks(model, image_size=64)
    masks.model = Answers()
    told = found(masks, image)
    np.testing.assert_allclose(told.scores, torch.tensor([3.0, 1.0]).sigmoid())
    right, left = told.masks
    assert left[16:32, 8:24].all() and not left[:, 32:].any()
    assert right[16:32, 40:56].all() and not right[:, :32].any()


class LargeAndSmall(torch.nn.Module):
    """Hundreds of cells name a large object; one, with a lower score, a small one."""

    def forward(self, pixels):
        large = torch.zeros(96, 128)
        large[:, :112] = 1
        small = torch.zeros(96, 128)
        small[80:92, 116:128] = 1
        kernels = torch.zeros(1, 24, 32, 2 + WINDOW)
        kernels[0, :, :28, 0] = kernels[0, :, 28:, 1] = 4.0
        kernels[..., 2] = -2.0
        scores = torch.full((1, 24, 32), -9.0)
        scores[0, :, :28], scores[0, 21, 30] = 3.0, 1.0
        return Told(scores, kernels, torch.stack([large, small])[None])


def test_a_large_object_leaves_room_for_a_small_one(model):
    masks = MiniMasks(model)
    masks.model = LargeAndSmall()
    told = found(masks, np.zeros((192, 256, 3), np.uint8))
    large, small = told.masks
    assert large[:, :112].all() and not large[:, 112:].any()
    assert small[80:92, 116:].all() and small.sum() == 12 * 12


def test_a_checkpoint_gives_the_same_masks(model, image, tmp_path):
    state = model.state_dict().items()
    tensors = {name: x.half() for name, x in state if x.is_floating_point()}
    save_file(tensors, tmp_path / "mini.safetensors")
    options = {"image_size": 64, "confidence": 0.0, "min_area": 1}
    loaded = MiniMasks.from_checkpoint(tmp_path / "mini.safetensors", **options)
    assert loaded.weights_sha256 == tensors_sha256(tensors)
    pixels = loaded.prepare(image[None])
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.model(pixels).scores, model(pixels).scores, rtol=1e-2, atol=1e-2
        )
    assert json.loads(json.dumps(loaded.config)) == {
        "widths": [4, 6, 8, 8], "depth": 1, "channels": 3, "image_size": 64, "confidence": 0.0,
        "fresh": 0.5, "min_area": 1, "dtype": "float32",
    }  # fmt: skip


@pytest.mark.parametrize("change", ["norm.weight", "blocks.0.qkv.bias", "stem.1.running_mean"])
def test_other_weights_are_refused(model, tmp_path, change):
    tensors = dict(model.state_dict())
    del tensors[change]
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors holds no mini mask network"):
        MiniMasks.from_checkpoint(tmp_path / "other.safetensors")
