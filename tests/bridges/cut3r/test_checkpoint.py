"""Published checkpoints load as they are, or are refused in words."""

import pytest
import torch
from safetensors.torch import save_file

from bridges.backbones.cut3r import TINY_DPT, VARIANTS, Cut3r, needed_tensors
from bridges.backbones.cut3r.checkpoint import find_config, published_shapes
from moonseg_jax.structs import InputError
from tests.bridges.cut3r.formula import formula_images, formula_tensors

SIZE = (32, 48)


@pytest.fixture(scope="module")
def tensors(request):
    with torch.device("meta"):
        shapes = published_shapes(Cut3r(TINY_DPT), "dpt")
    more = {
        "masked_img_token": (1, 64),
        "enc_blocks_ray_map.0.norm1.weight": (64,),
        "downstream_head.dpt_rgb.head.4.bias": (3,),
        "downstream_head.dpt_self.scratch.layer_rn.0.weight": (1,),
        "downstream_head.dpt_self.scratch.refinenet4.resConfUnit1.conv1.bias": (256,),
    }
    return formula_tensors({**shapes, **more})


def test_names_are_the_published_ones(tensors):
    for name in (
        "patch_embed.proj.weight",
        "enc_blocks.1.attn.qkv.bias",
        "dec_blocks_state.3.cross_attn.projk.weight",
        "dec_blocks.3.norm_y.bias",
        "pose_retriever.write_blocks.1.mlp.fc2.weight",
        "pose_retriever.masked_token",
        "register_tokens.weight",
        "downstream_head.final_transform.1.norm2.mlp.1.weight",
        "downstream_head.pose_head.mlp.fc1.weight",
        "downstream_head.dpt_cross.act_postprocess.3.1.weight",
        "downstream_head.dpt_self.scratch.layer4_rn.weight",
        "downstream_head.dpt_self.scratch.refinenet1.resConfUnit1.conv2.bias",
        "downstream_head.dpt_self.head.2.weight",
    ):
        assert name in tensors


def test_published_file_and_converted_file_load_alike(tmp_path, tensors, dpt):
    wrapped = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save({"model": wrapped, "epoch": 3}, tmp_path / "cut3r.pth")
    kept, config = needed_tensors(wrapped, "cut3r.pth", TINY_DPT)
    assert config == TINY_DPT
    assert "masked_img_token" not in kept
    save_file(kept, tmp_path / "cut3r.safetensors")
    image = formula_images(1, 1, SIZE)[0]
    expected, _ = dpt.step(image, dpt.init_state())
    for file in ("cut3r.pth", "cut3r.safetensors"):
        model = Cut3r.from_checkpoint(tmp_path / file, TINY_DPT)
        output, _ = model.step(image, model.init_state())
        error = (output.points_world - expected.points_world).abs().max()
        assert error < 1e-4 * expected.points_world.abs().max()


def test_missing_surplus_and_misshapen_tensors_are_named(tensors):
    wrong = dict(tensors)
    del wrong["enc_norm.weight"]
    wrong["extra.weight"] = torch.zeros(1)
    wrong["dec_norm.bias"] = torch.zeros(3)
    with pytest.raises(InputError) as error:
        needed_tensors(wrong, "some.pth", TINY_DPT)
    for words in ("some.pth", "enc_norm.weight", "extra.weight", "dec_norm.bias (3,) instead of"):
        assert words in str(error.value)


def test_variant_is_told_by_the_head():
    heads = {
        "dpt_512": "downstream_head.dpt_self.head.0.bias",
        "linear_224": "downstream_head.proj.fc1.bias",
    }
    for variant, name in heads.items():
        assert find_config({name: torch.zeros(1)}, None, "x.pth") is VARIANTS[variant]
    with pytest.raises(InputError, match=r"x\.pth is no CUT3R checkpoint"):
        find_config({"other.weight": torch.zeros(1)}, None, "x.pth")
    with pytest.raises(InputError, match="dpt_512, linear_224"):
        find_config({}, "dpt_1024", "x.pth")
