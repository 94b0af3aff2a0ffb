"""SAM 2 beside frozen outputs of facebookresearch's code, at a tiny size."""

import numpy as np
import pytest
import torch

from bridges.backbones.sam2 import Sam2
from bridges.backbones.sam2_tiny import tiny_config
from moonseg_jax.structs import SourceFrame

transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)  # Of tiny tensors, threads wait for each other only.

# Of the points of a 2x2 grid, as their decoder gives them in float32 for `random_weights` and
# `picture`: scores, and logits at row 8, columns 8 and 24.
SCORES = [
    [0.33221, 0.07285, 0.57726],
    [0.3392, 0.07344, 0.5817],
    [0.33747, 0.07228, 0.57358],
    [0.33894, 0.07226, 0.57546],
]
LOGITS = [
    [-8.215, -3.593, 5.768, -0.061, -0.588, -12.134],
    [-8.163, -3.598, 5.671, -0.032, -0.549, -12.194],
    [-8.253, -3.683, 5.781, -0.098, -0.599, -12.181],
    [-8.244, -3.68, 5.757, -0.145, -0.59, -12.159],
]
# Of `drawn` masks, those that their generator keeps on our grid, best first.
KEPT = """
    166 31 114 5 88 62 36 119 93 176 67 150 41 124 72 155 46 129 20 186 51 134 25 191 56
    30 113 4 170 61 35 118 149 14 97 180 154 159 50 133 81 164 55 112 3 86 60 117 96 179
    44 127 18 184 106 80 163 137 111 85 142 33 173 121
"""


def config():
    """Sizes that their code has fixed are theirs: heads and hidden widths of the decoder."""
    sizes = tiny_config(transformers)
    backbone, decoder = sizes.vision_config.backbone_config, sizes.mask_decoder_config
    backbone.blocks_per_stage, backbone.global_attention_blocks = [1, 2, 2, 1], [4]
    decoder.num_attention_heads, decoder.mlp_dim, decoder.iou_head_hidden_dim = 8, 2048, 256
    return sizes


def random_weights(shapes):
    """Name to tensor; of as many values as go into a sum, the smaller the more they are."""
    tensors = {}
    for i, (name, shape) in enumerate(sorted(shapes.items())):
        if name.startswith("shared_image_embedding"):
            continue
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 8
        values = np.random.default_rng(i).uniform(-1, 1, shape) * np.sqrt(5 / fan_in)
        if "norm" in name and name.endswith("weight"):
            values += 1
        tensors[name] = torch.tensor(values, dtype=torch.float32)
    shared = tensors["prompt_encoder.shared_embedding.positional_embedding"]
    return tensors | {"shared_image_embedding.positional_embedding": shared}


def picture():
    blocks = np.random.default_rng(0).integers(0, 255, (6, 8, 3))
    return np.kron(blocks, np.ones((16, 16, 1))).astype(np.uint8)


def drawn():
    """Logits ``[64 3 32 32]`` of ellipses, many nearly the same, and scores ``[64 3]``."""
    x0, y0, rx, ry, slope = np.random.default_rng(0).random((5, 192, 1, 1))
    x0, y0 = (8 * np.round(4 * c) + 2 * c for c in (x0, y0))
    y, x = np.mgrid[:32, :32]
    inside = 1 - np.sqrt(((x - x0) / (1 + 8 * rx)) ** 2 + ((y - y0) / (1 + 8 * ry)) ** 2)
    logits = torch.tensor(inside * (2 + 40 * slope), dtype=torch.float32)
    scores = torch.arange(192) * 37 % 192 / 192
    return logits.view(64, 3, 32, 32), scores.view(64, 3)


@pytest.fixture
def model():
    built = transformers.Sam2Model(config())
    shapes = {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
    built.load_state_dict(random_weights(shapes))
    return built


def test_the_network_is_that_of_the_official_code(model):
    masker = Sam2(model, points_per_side=2)
    said = []
    masker.model.mask_decoder.register_forward_hook(lambda *called: said.append(called[2]))
    masker.batch(picture()[None])
    ((logits, scores, *_),) = said
    np.testing.assert_allclose(scores[0], SCORES, rtol=0, atol=2e-5)
    np.testing.assert_allclose(logits[0, :, :, 8, 8::16].flatten(1), LOGITS, rtol=0, atol=1e-3)


def test_the_filters_keep_what_those_of_the_official_code_do(model, monkeypatch):
    masker = Sam2(model, points_per_side=8, predicted_iou=0.3, stability=0.8, min_area=0)
    logits, scores = drawn()
    said = (logits[None], scores[None])
    monkeypatch.setattr(masker.model.mask_decoder, "forward", lambda **_: said)
    found = masker(SourceFrame("a", 0.0, picture()), picture())
    order = scores.flatten().tolist()
    order = scores.flatten().tolist()
    assert [order.index(score) for score in found.scores.tolist()] == [int(i) for i in KEPT.split()]
