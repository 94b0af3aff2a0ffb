"""The names of facebookresearch's DINOv3 files, told in those of the hub's.

Names and shapes are facts of github.com/facebookresearch/dinov3 and of `transformers`.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

WHOLE = {
    "cls_token": "embeddings.cls_token",
    "mask_token": "embeddings.mask_token",
    "storage_tokens": "embeddings.register_tokens",
    "patch_embed.proj": "embeddings.patch_embeddings",
    "norm": "norm",
}
IN_BLOCK = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.proj": "attention.o_proj",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
    "mlp.fc1": "mlp.up_proj",
    "mlp.fc2": "mlp.down_proj",
    "mlp.w1": "mlp.gate_proj",
    "mlp.w2": "mlp.up_proj",
    "mlp.w3": "mlp.down_proj",
}
FOUND_IN_ALL = {
    "cls_token",
    "mask_token",
    "storage_tokens",
    "rope_embed.periods",
    "blocks.0.attn.qkv.weight",
}
# Constants, and norms of class tokens: nothing that a patch token depends on.
UNUSED = re.compile(r"rope_embed\.periods|.*\.bias_mask|(local_)?cls_norm\..*")


def is_official(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of facebookresearch's vision transformers."""
    return tensors.keys() >= FOUND_IN_ALL


def official_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The fields of a ``DINOv3ViTConfig`` that the shapes tell; the rest are its defaults."""
    gated = "blocks.0.mlp.w1.weight" in tensors
    width = tensors["cls_token"].shape[-1]
    # One period for each rotated pair of channels of a head, and of each image axis.
    head = 4 * len(tensors["rope_embed.periods"])
    bias = "blocks.0.attn.qkv.bias" in tensors
    return {
        "hidden_size": width,
        "intermediate_size": len(tensors[f"blocks.0.mlp.{'w1' if gated else 'fc1'}.weight"]),
        "num_hidden_layers": sum(name.endswith(".attn.qkv.weight") for name in tensors),
        "num_attention_heads": width // head,
        "num_register_tokens": tensors["storage_tokens"].shape[1],
        "use_gated_mlp": gated,
        "hidden_act": "silu" if gated else "gelu",
        "query_bias": bias,
        "value_bias": bias,
    }


def rename_official(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors in the hub's names; a name we do not know is kept, and found surplus.

    Keys have no bias: facebookresearch masks it out, so that part of it is dropped.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        if UNUSED.fullmatch(name):
            continue
        if block and block[2].startswith("attn.qkv."):
            renamed |= _split_qkv(int(block[1]), block[2].rpartition(".")[2], tensor)
        elif block:
            renamed[f"layer.{block[1]}.{_translate(block[2], IN_BLOCK)}"] = tensor
        else:
            renamed[_translate(name, WHOLE)] = tensor
    mask = renamed["embeddings.mask_token"]
    renamed["embeddings.mask_token"] = mask.reshape(1, 1, -1)
    return renamed


def _split_qkv(layer: int, part: str, tensor: Tensor) -> dict[str, Tensor]:
    query, key, value = tensor.chunk(3)
    start = f"layer.{layer}.attention"
    split = {f"{start}.q_proj.{part}": query, f"{start}.v_proj.{part}": value}
    return split if part == "bias" else {**split, f"{start}.k_proj.{part}": key}


def _translate(name: str, names: Mapping[str, str]) -> str:
    """Translates a tensor's name, or that of the layer it is the weight or bias of."""
    layer, _, part = name.rpartition(".")
    if name in names:
        return names[name]
    return f"{names[layer]}.{part}" if layer in names else name
