import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bridges.backbones import dinov3
from bridges.backbones.dinov3 import DinoV3
from bridges.backbones.dinov3_official import rename_official
from bridges.checkpoints import read_tensors
from moonseg_jax.structs import InputError

WIDTH, HIDDEN, LAYERS, HEADS, REGISTERS = 32, 48, 2, 2, 4
CONFIG = {
    "model_type": "dinov3_vit",
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_register_tokens": REGISTERS,
}
GATED = {"use_gated_mlp": True, "hidden_act": "silu"}
# What else the config.json of a published folder says; ViT-H+'s has GATED, too.
PUBLISHED = {
    "architectures": ["DINOv3ViTModel"],
    "attention_dropout": 0.0,
    "drop_path_rate": 0.0,
    "hidden_act": "gelu",
    "image_size": 224,
    "initializer_range": 0.02,
    "key_bias": False,
    "layer_norm_eps": 1e-05,
    "layerscale_value": 1.0,
    "mlp_bias": True,
    "num_channels": 3,
    "patch_size": 16,
    "pos_embed_jitter": None,
    "pos_embed_rescale": 2.0,
    "pos_embed_shift": None,
    "proj_bias": True,
    "query_bias": True,
    "rope_theta": 100.0,
    "torch_dtype": "float32",
    "transformers_version": "4.56.0.dev0",
    "use_gated_mlp": False,
    "value_bias": True,
}

# Channels 0, 8, 16, 24 of the 2x3 patches, as facebookresearch's code gives them for
# `official_tensors` and `picture` in float32.
GOLDEN = {
    False: [
        [0.67363, 0.01553, -0.12312, -0.13777],
        [0.96909, -0.01862, -0.13173, 0.05068],
        [0.78549, 0.22973, -0.15888, 0.17119],
        [-0.17168, 0.27058, -0.22024, 0.20148],
        [0.59177, 0.24133, -0.17781, 0.26174],
        [0.56016, -0.27485, -0.14084, -0.05978],
    ],
    True: [
        [0.09962, 0.44425, -0.29626, 0.15696],
        [0.02956, 0.41862, -0.23882, -0.12307],
        [0.07014, 0.60845, -0.02464, -0.319],
        [0.29386, 0.64269, 0.49066, -0.34466],
        [0.11908, 0.62479, 0.14268, -0.42973],
        [0.12319, 0.21404, -0.16146, 0.03832],
    ],
}


def official_tensors(gated):
    """Weights in facebookresearch's names and shapes, by a formula."""
    block = {
        "norm1.weight": (WIDTH,),
        "norm1.bias": (WIDTH,),
        "attn.qkv.weight": (3 * WIDTH, WIDTH),
        "attn.qkv.bias": (3 * WIDTH,),
        "attn.proj.weight": (WIDTH, WIDTH),
        "attn.proj.bias": (WIDTH,),
        "ls1.gamma": (WIDTH,),
        "norm2.weight": (WIDTH,),
        "norm2.bias": (WIDTH,),
        "ls2.gamma": (WIDTH,),
    }
    into, out = (("w1", "w2"), "w3") if gated else (("fc1",), "fc2")
    for name in into:
        block |= {f"mlp.{name}.weight": (HIDDEN, WIDTH), f"mlp.{name}.bias": (HIDDEN,)}
    block |= {f"mlp.{out}.weight": (WIDTH, HIDDEN), f"mlp.{out}.bias": (WIDTH,)}
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "storage_tokens": (1, REGISTERS, WIDTH),
        "mask_token": (1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, 16, 16),
        "patch_embed.proj.bias": (WIDTH,),
        **{f"blocks.{i}.{name}": shape for i in range(LAYERS) for name, shape in block.items()},
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    tensors = {name: waves(i, shape) for i, (name, shape) in enumerate(shapes.items())}
    mask = torch.ones(3 * WIDTH)
    mask[WIDTH : 2 * WIDTH] = 0
    tensors |= {f"blocks.{i}.attn.qkv.bias_mask": mask.clone() for i in range(LAYERS)}
    quarter = WIDTH // HEADS // 4
    tensors["rope_embed.periods"] = 100.0 ** (torch.arange(quarter) / quarter)
    return tensors


def waves(seed, shape):
    count = int(np.prod(shape))
    values = 0.3 * np.sin(1.7 * np.arange(count) + seed) + 0.1 * np.cos(0.01 * np.arange(count))
    return torch.tensor(values, dtype=torch.float32).reshape(shape)


def picture(height=32, width=48):
    v, u, c = np.meshgrid(*(np.arange(n) for n in (height, width, 3)), indexing="ij")
    return ((7 * v + 3 * u * u + 50 * c) % 256).astype(np.uint8)


@pytest.fixture(params=[False, True], ids=["mlp", "gated"])
def gated(request):
    return request.param


@pytest.fixture
def official(tmp_path, gated):
    """A ``.pth`` as facebookresearch gives it out."""
    torch.save(official_tensors(gated), tmp_path / "dinov3.pth")
    return tmp_path / "dinov3.pth"


@pytest.fixture
def make_folder(tmp_path):
    """A hub folder of the same weights."""

    def make(gated=False, config=None, **tensors):
        folder = tmp_path / "hub"
        folder.mkdir()
        chosen = CONFIG | (GATED if gated else {}) | (config or {})
        (folder / "config.json").write_text(json.dumps(chosen))
        named = {k: v.contiguous() for k, v in rename_official(official_tensors(gated)).items()}
        named = {k: v for k, v in (named | tensors).items() if v is not None}
        save_file(named, folder / "model.safetensors")
        return folder

    return make


def test_features_are_those_of_the_official_code(official, gated):
    backbone = DinoV3(official)
    tokens = backbone.patch_tokens(picture()[None])[0]
    assert tokens.shape == (2, 3, WIDTH)
    np.testing.assert_allclose(tokens[..., ::8].reshape(-1, 4), GOLDEN[gated], rtol=0, atol=3e-5)
    features = backbone(picture())
    assert features.dtype == torch.float16
    assert backbone.channels == WIDTH
    torch.testing.assert_close(features.float(), tokens, rtol=1e-3, atol=1e-3)


def test_a_folder_and_an_official_file_of_the_same_weights_are_one_backbone(
    official, make_folder, gated
):
    a, b = DinoV3(official), DinoV3(make_folder(gated))
    assert a.weights_sha256 == b.weights_sha256
    assert a.config == b.config
    assert torch.equal(a(picture()), b(picture()))


def test_a_folder_with_the_published_config_is_the_same(official, make_folder, gated):
    config = PUBLISHED | (GATED if gated else {})
    folder = DinoV3(make_folder(gated, config))
    assert torch.equal(folder(picture()), DinoV3(official)(picture()))


def test_other_weights_are_another_backbone(make_folder, tmp_path):
    first = DinoV3(make_folder())
    tensors = official_tensors(False)
    tensors["blocks.1.ls2.gamma"] += 1e-3
    torch.save(tensors, tmp_path / "other.pth")
    assert DinoV3(tmp_path / "other.pth").weights_sha256 != first.weights_sha256


def test_a_batch_is_its_images(make_folder):
    backbone = DinoV3(make_folder())
    images = np.stack([picture(), picture()[::-1], 255 - picture()])
    together = backbone.batch(images)
    assert together.shape == (3, 2, 3, WIDTH)
    for image, features in zip(images, together, strict=True):
        torch.testing.assert_close(backbone(image), features, rtol=2e-3, atol=2e-3)
    assert torch.equal(backbone.batch(torch.tensor(images)), together)


def test_patches_are_in_reading_order(make_folder):
    backbone = DinoV3(make_folder(config={"num_hidden_layers": 0}, **without_layers()))
    image = np.zeros((32, 48, 3), np.uint8)
    image[16:, 32:] = 255
    features = backbone(image).float()
    # Without layers a patch sees only itself.
    assert torch.equal(features[0, 0], features[1, 1])
    assert not torch.allclose(features[0, 0], features[1, 2])


def without_layers():
    return {n: None for n in rename_official(official_tensors(False)) if n.startswith("layer.")}


def test_bfloat16_is_close_and_says_so(make_folder):
    folder = make_folder()
    exact, rough = DinoV3(folder), DinoV3(folder, dtype=torch.bfloat16)
    assert rough.model.dtype == torch.bfloat16
    assert (exact.config["dtype"], rough.config["dtype"]) == ("float32", "bfloat16")
    assert exact.weights_sha256 == rough.weights_sha256
    assert rough(picture()).dtype == torch.float16
    torch.testing.assert_close(rough(picture()), exact(picture()), rtol=0.1, atol=0.1)


def test_random_weights_are_those_of_the_seed(monkeypatch):
    monkeypatch.setitem(dinov3.SIZES, "huge+", (WIDTH, HIDDEN, LAYERS, HEADS))
    before = torch.get_rng_state()
    a, b, c = (DinoV3.random("huge+", seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a(picture()), b(picture()))
    assert not torch.equal(a(picture()), c(picture()))
    assert a.weights_sha256 == ""
    json.dumps(a.config)


def test_loading_says_nothing(make_folder, official, capfd):
    DinoV3(make_folder())
    DinoV3(official)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"norm.bias": None}, "norm.bias"),
        ({"layer.1.mlp.surplus": torch.ones(2)}, "surplus"),
        ({"norm.bias": torch.ones(WIDTH + 1)}, "does not fit"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(make_folder, change, word, capfd):
    folder = make_folder(**change)
    with pytest.raises(InputError, match=word) as caught:
        DinoV3(folder)
    assert str(folder) in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "word"), [("blocks.1.mlp.fc1.weight", "missing"), ("blocks.0.x.weight", "surplus")]
)
def test_official_files_that_do_not_fit_are_refused(tmp_path, name, word):
    tensors = official_tensors(False)
    if word == "missing":
        del tensors[name]
    else:
        tensors[name] = torch.ones(2)
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(InputError, match=word):
        DinoV3(tmp_path / "w.pth")


def test_other_models_are_refused(make_folder, tmp_path):
    with pytest.raises(InputError, match="of type dinov3_convnext: give one of type dinov3_vit"):
        DinoV3(make_folder(config={"model_type": "dinov3_convnext"}))
    torch.save({"stages.0.0.weight": torch.ones(2)}, tmp_path / "convnext.pth")
    with pytest.raises(InputError, match="holds no DINOv3 ViT"):
        DinoV3(tmp_path / "convnext.pth")


@pytest.mark.parametrize("spoilt", ["config.json", "model.safetensors"])
def test_half_a_folder_is_refused(make_folder, spoilt):
    folder = make_folder()
    (folder / spoilt).unlink()
    with pytest.raises(InputError, match=str(folder)):
        DinoV3(folder)


def test_without_transformers_the_extra_is_named(make_folder, monkeypatch):
    folder = make_folder()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"moonseg-jax\[torch\]"):
        DinoV3(folder)
    with pytest.raises(InputError, match=r"moonseg-jax\[torch\]"):
        DinoV3.random("small")


def test_renaming_keeps_every_value_that_a_patch_depends_on():
    tensors = official_tensors(False)
    renamed = rename_official(tensors)
    qkv = [renamed[f"layer.1.attention.{x}_proj.weight"] for x in "qkv"]
    assert torch.equal(torch.cat(qkv), tensors["blocks.1.attn.qkv.weight"])
    assert "layer.1.attention.k_proj.bias" not in renamed
    assert torch.equal(renamed["layer.1.layer_scale2.lambda1"], tensors["blocks.1.ls2.gamma"])


def test_a_malicious_file_is_refused(tmp_path):
    torch.save({**official_tensors(False), "x": print}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="would run print"):
        DinoV3(tmp_path / "w.pth")
    with pytest.raises(InputError, match="would run print"):
        read_tensors(tmp_path / "w.pth")
