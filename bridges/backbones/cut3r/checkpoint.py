"""Names of the published checkpoints, and strict loading.

On disk there is one naming, the published one; what was converted to safetensors keeps it.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from bridges.backbones.cut3r.config import DPT_512, LINEAR_224, VARIANTS, Cut3rConfig
from moonseg_jax.structs import InputError

# Ours to theirs, by prefix. What is not named here keeps its name below the prefix.
PREFIXES = {
    "encoder.patch_embed.": "patch_embed.proj.",
    "encoder.blocks.": "enc_blocks.",
    "encoder.norm.": "enc_norm.",
    "initial_tokens": "register_tokens.weight",
    "state_embed.": "decoder_embed_state.",
    "pose_memory.pose_token": "pose_token",
    "pose_memory.unknown_pose": "pose_retriever.masked_token",
    "pose_memory.initial": "pose_retriever.mem",
    "pose_memory.image.": "pose_retriever.proj_q.",
    "pose_memory.": "pose_retriever.",
    "decoder.embed.": "decoder_embed.",
    "decoder.image_blocks.": "dec_blocks.",
    "decoder.state_blocks.": "dec_blocks_state.",
    "decoder.image_norm.": "dec_norm.",
    "decoder.state_norm.": "dec_norm_state.",
    "heads.pose.": "downstream_head.pose_head.mlp.",
    "heads.pair.": "downstream_head.final_transform.",
}
VIEWS = {
    "dpt": {
        "heads.self_view.net.": "downstream_head.dpt_self.",
        "heads.world_view.net.": "downstream_head.dpt_cross.",
    },
    "linear": {
        "heads.self_view.net.mlp.": "downstream_head.proj.",
        "heads.world_view.net.mlp.": "downstream_head.cross_proj.",
    },
}
# Below the prefix. Levels are numbered from 1 there.
PARTS = (
    (r"\.cross_attn\.q\.", ".cross_attn.projq."),
    (r"\.modulation\.", ".mlp.1."),
    (r"\.reassemble\.", ".act_postprocess."),
    (r"\.project\.(\d)\.", lambda m: f".scratch.layer{int(m[1]) + 1}_rn."),
    (r"\.fuse\.(\d)\.", lambda m: f".scratch.refinenet{int(m[1]) + 1}."),
    (r"\.skip\.", ".resConfUnit1."),
    (r"\.refine\.", ".resConfUnit2."),
    (r"\.out\.(weight|bias)$", r".out_conv.\1"),
    (r"\.narrow\.", ".head.0."),
    (r"\.smooth\.", ".head.2."),
    (r"\.tell\.", ".head.4."),
)
# Parameters that we do not run: colours, ray maps, training's mask tokens; a level's projection
# under its second name; the unit of the coarsest fusion that has nothing to add.
SKIPPED = re.compile(
    r"patch_embed_ray_map\.|enc_blocks_ray_map\.|enc_norm_ray_map\.|masked_(img|ray_map)_token$"
    r"|downstream_head\.(dpt_rgb|rgb_proj)\."
    r"|downstream_head\.dpt_\w+\.scratch\.(layer_rn\.|refinenet4\.resConfUnit1\.)"
)
SHOWN = 4  # Names listed in an error.


def find_config(
    tensors: Mapping[str, Tensor], variant: str | Cut3rConfig | None, path: str | Path
) -> Cut3rConfig:
    """The sizes asked for, or told by the head that the tensors hold.

    Raises:
        InputError: an unknown variant, or tensors of no known head.
    """
    if isinstance(variant, Cut3rConfig):
        return variant
    if variant is not None:
        if variant not in VARIANTS:
            raise InputError(f"no CUT3R variant {variant!r}; there are {', '.join(VARIANTS)}")
        return VARIANTS[variant]
    names = _without_wrapper(tensors)
    if any(name.startswith("downstream_head.dpt_self.") for name in names):
        return DPT_512
    if any(name.startswith("downstream_head.proj.") for name in names):
        return LINEAR_224
    raise InputError(
        f"{path} is no CUT3R checkpoint: it has neither a DPT nor a linear head; expected "
        "cut3r_512_dpt_4_64.pth or cut3r_224_linear_4.pth"
    )


def published_names(name: str, head: str) -> tuple[str, ...]:
    """Names of the published tensors that one of our parameters is, stacked along their rows."""
    for ours, theirs in {**PREFIXES, **VIEWS[head]}.items():
        if name.startswith(ours):
            name = theirs + name.removeprefix(ours)
            break
    for pattern, replacement in PARTS:
        name = re.sub(pattern, replacement, name)
    if ".cross_attn.kv." in name:
        return tuple(name.replace(".kv.", f".{part}.") for part in ("projk", "projv"))
    return (name,)


def published_tensors(named: Iterable[tuple[str, Tensor]], head: str) -> dict[str, Tensor]:
    """Parameters as the published checkpoint has them: what we fused is taken apart."""
    tensors = {}
    for ours, parameter in named:
        names = published_names(ours, head)
        tensors |= zip(names, parameter.detach().chunk(len(names)), strict=True)
    return tensors


def published_shapes(model: nn.Module, head: str) -> dict[str, torch.Size]:
    """Shape of every published tensor that a model needs."""
    tensors = published_tensors(model.named_parameters(), head)
    return {name: tensor.shape for name, tensor in tensors.items()}


def load_tensors(model: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Makes tensors the parameters of a model (which may be on the meta device), in float32.

    Raises:
        InputError: missing, surplus or misshapen tensors.
    """
    config = model.config
    assert isinstance(config, Cut3rConfig)
    tensors = check_tensors(tensors, published_shapes(model, config.head), config, path)
    own = {}
    for name, _ in model.named_parameters():
        parts = [tensors[part].float() for part in published_names(name, config.head)]
        own[name] = torch.cat(parts) if len(parts) > 1 else parts[0]
    model.load_state_dict(own, assign=True)


def check_tensors(
    tensors: Mapping[str, Tensor],
    shapes: Mapping[str, torch.Size],
    config: Cut3rConfig,
    path: str | Path,
) -> dict[str, Tensor]:
    """The tensors of ``shapes``, under their published names.

    Raises:
        InputError: missing, surplus or misshapen tensors.
    """
    tensors = _without_wrapper(tensors)
    wrong = [
        f"{kind} {_listed(names)}"
        for kind, names in (
            ("lacks", [name for name in shapes if name not in tensors]),
            ("has unknown", [n for n in tensors if n not in shapes and not SKIPPED.match(n)]),
            (
                "has misshapen",
                [
                    f"{name} {tuple(tensors[name].shape)} instead of {tuple(shape)}"
                    for name, shape in shapes.items()
                    if name in tensors and tensors[name].shape != shape
                ],
            ),
        )
        if names
    ]
    if wrong:
        raise InputError(
            f"{path} does not fit CUT3R's {config.name}: it {'; it '.join(wrong)}; take the "
            "published checkpoint of that variant"
        )
    return {name: tensors[name] for name in shapes}


def _without_wrapper(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix that data-parallel training leaves on every name."""
    wrapped = all(name.startswith("module.") for name in tensors)
    return {name.removeprefix("module.") if wrapped else name: t for name, t in tensors.items()}


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
