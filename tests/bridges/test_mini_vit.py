import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bridges.backbones.mini_vit import MiniSemantics, MiniVit, MiniVitConfig, _rotate, rope_table
from bridges.checkpoints import tensors_sha256
from moonseg_jax.structs import InputError

CONFIG = MiniVitConfig(width=32, depth=2)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MiniVit(CONFIG)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)


def test_features_lie_on_the_grid_of_patches(model, image):
    encoder = MiniSemantics(model)
    features = encoder(image)
    assert features.shape == (4, 6, encoder.channels) == (4, 6, 32)
    assert features.dtype == torch.float16
    assert torch.isfinite(features).all()
    assert encoder.batch(np.stack([image, image[::-1]]))[0].equal(features)


def test_a_greater_cell_averages_the_image_down(model, image):
    doubled = image.repeat(2, axis=0).repeat(2, axis=1)
    assert MiniSemantics(model, cell=16)(doubled).equal(MiniSemantics(model)(image))


def test_a_checkpoint_gives_the_same_features(model, image, tmp_path):
    tensors = {name: tensor.half() for name, tensor in model.state_dict().items()}
    save_file(tensors, tmp_path / "mini.safetensors")
    encoder = MiniSemantics.from_checkpoint(tmp_path / "mini.safetensors")
    difference = (encoder(image) - MiniSemantics(model)(image)).abs().max()
    assert difference < 0.02
    assert encoder.weights_sha256 == tensors_sha256(tensors)
    assert json.loads(json.dumps(encoder.config)) == {
        "width": 32, "depth": 2, "patch": 8, "cell": 8, "dtype": "float32",
    }  # fmt: skip


@pytest.mark.parametrize("change", ["norm.weight", "blocks.1.qkv.bias"])
def test_other_weights_are_refused(model, tmp_path, change):
    tensors = dict(model.state_dict())
    del tensors[change]
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors holds no mini semantic encoder"):
        MiniSemantics.from_checkpoint(tmp_path / "other.safetensors")


def test_hidden_patches_are_not_seen(model):
    torch.nn.init.normal_(model.hidden)
    pixels = torch.rand(1, 16, 24, 3)
    changed = pixels.clone()
    changed[:, :8, 8:16] = 0
    hide = torch.zeros(1, 2, 3, dtype=torch.bool)
    assert not torch.allclose(model(pixels, hide), model(changed, hide))
    hide[0, 0, 1] = True
    assert torch.equal(model(pixels, hide), model(changed, hide))


def test_attention_depends_on_relative_positions():
    q, k = torch.randn(2, 1, 32, dtype=torch.float64)
    rope = rope_table((4, 6), 32, torch.device("cpu")).double()
    logits = (_rotate(q.expand(24, 32), rope) @ _rotate(k.expand(24, 32), rope).T).reshape(
        4, 6, 4, 6
    )
    torch.testing.assert_close(logits[0, 1, 2, 3], logits[1, 3, 3, 5], rtol=0, atol=1e-4)
    assert abs(logits[0, 1, 2, 3] - logits[0, 1, 2, 4]) > 1e-3


def test_a_finer_grid_shows_the_same_picture():
    coarse, fine = (rope_table(grid, 8, torch.device("cpu")) for grid in ((3, 4), (6, 8)))
    middle = torch.atan2(fine[1], fine[0]).reshape(6, 8, -1)[:2, :2, 1].mean(dim=(0, 1))
    torch.testing.assert_close(middle, torch.atan2(coarse[1], coarse[0])[0, 1])
