"""The published CUT3R out of a checkout, at any size, with weights by formula.

It runs with stand-ins for what it imports and does not need (transformers, accelerate, einops,
OpenCV), and with a plain rotary embedding in place of its CUDA extension, which alone knows the
position (-1, -1) of the pose token. Its encoder rounds queries and keys to float16 around that,
unless told not to.
"""

import contextlib
import importlib
import io
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bridges.backbones.cut3r import Cut3rConfig
from tests.bridges.cut3r.formula import formula_tensors


@contextlib.contextmanager
def published(upstream: Path, rounded: bool) -> Iterator[None]:
    """Makes the published code importable, and forgets it again."""
    if not (upstream / "src" / "dust3r" / "model.py").exists():
        sys.exit(f"{upstream} is no checkout of CUT3R: it has no src/dust3r/model.py")
    path, modules = list(sys.path), dict(sys.modules)
    sys.modules.update(stand_ins())
    sys.path.insert(0, str(upstream / "src"))
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # It warns of the missing extension.
            importlib.import_module("dust3r.model")
        sys.modules["models.croco"].RoPE2D = PlainRope  # type: ignore[attr-defined]
        if not rounded:
            sys.modules["models.blocks"].torch = Unrounded()  # type: ignore[attr-defined]
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - set(modules):
            if name.split(".")[0] in ("dust3r", "models", "croco"):
                del sys.modules[name]
        sys.modules.update({n: modules[n] for n in stand_ins() if n in modules})


def build_published(config: Cut3rConfig, rule: str = "cut3r") -> nn.Module:
    """The published network of our sizes, with weights by formula."""
    code = importlib.import_module("dust3r.model")
    infinity = float("inf")
    more = {} if rule == "cut3r" else {"model_update_type": rule}
    sizes = code.ARCroco3DStereoConfig(
        state_size=config.state_tokens,
        local_mem_size=config.memory_tokens,
        state_dec_num_heads=config.state_heads,
        state_pe="2d",
        pos_embed=f"RoPE{config.rope_base:g}",
        rgb_head=True,
        pose_head=True,
        patch_embed_cls="PatchEmbedDust3R",
        img_size=(config.image_side, config.image_side),
        head_type=config.head,
        output_mode="pts3d+pose",
        depth_mode=("exp", -infinity, infinity),
        conf_mode=("exp", 1, infinity),
        pose_mode=("exp", -infinity, infinity),
        enc_embed_dim=config.encoder_width,
        enc_depth=config.encoder_depth,
        enc_num_heads=config.encoder_heads,
        dec_embed_dim=config.width,
        dec_depth=config.depth,
        dec_num_heads=config.image_heads,
        landscape_only=False,
        **more,
    )
    with torch.device("meta"):
        model = code.ARCroco3DStereo(sizes)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    # Not the model's own load_state_dict, which forgives whatever does not fit.
    nn.Module.load_state_dict(model, formula_tensors(shapes), strict=False, assign=True)
    return model.eval()


def published_view(image: Tensor) -> dict[str, Tensor]:
    """One frame as the published demo feeds it."""
    batch, _, height, width = image.shape
    yes = torch.ones(batch, dtype=torch.bool, device=image.device)
    return {
        "img": image,
        "ray_map": torch.full((batch, 6, height, width), torch.nan, device=image.device),
        "true_shape": torch.tensor([[height, width]] * batch),
        "img_mask": yes,
        "ray_mask": ~yes,
        "update": yes,
        "reset": ~yes,
    }


class PlainRope(nn.Module):
    """Rotary embedding at any position, rounding where the CUDA extension does."""

    def __init__(self, freq: float = 100.0) -> None:
        super().__init__()
        self.freq = freq

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """``[b heads n d]`` at ``[b n 2]``, in float32 inside as the CUDA extension."""
        quarter = tokens.shape[-1] // 4
        inverse = 1 / self.freq ** (torch.arange(quarter, device=tokens.device) / quarter)
        halves = []
        for axis, half in enumerate(tokens.float().chunk(2, dim=-1)):
            angle = positions[:, None, :, axis, None].float() * inverse
            u, v = half.split(quarter, dim=-1)
            halves += [u * angle.cos() - v * angle.sin(), v * angle.cos() + u * angle.sin()]
        return torch.cat(halves, dim=-1).to(tokens.dtype)


class Unrounded:
    """The module ``torch``, whose float16 is float32."""

    float16 = torch.float32

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


class _Config:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        vars(self).update(kwargs)


class _Model(nn.Module):
    def __init__(self, config: _Config) -> None:
        super().__init__()


class _Output:
    """A dataclass's base."""


def _rearrange(x: Tensor, pattern: str, **sizes: int) -> Tensor:
    if pattern == "b (nh nw) c -> b c nh nw":
        return x.unflatten(1, (sizes["nh"], sizes["nw"])).permute(0, 3, 1, 2)
    if pattern == "l h nstate nimg -> 1 nstate nimg (l h)":
        return x.permute(2, 3, 0, 1).flatten(2)[None]
    raise NotImplementedError(pattern)


def stand_ins() -> dict[str, types.ModuleType]:
    """The little that the published model takes from packages of its training code."""
    members: dict[str, dict[str, Any]] = {
        "transformers": {"PretrainedConfig": _Config, "PreTrainedModel": _Model},
        "transformers.modeling_outputs": {"BaseModelOutput": _Output},
        "transformers.file_utils": {"ModelOutput": _Output},
        "accelerate": {},
        "accelerate.logging": {"get_logger": lambda *args, **kwargs: None},
        "einops": {"rearrange": _rearrange, "repeat": None},
    }
    modules = {}
    for name, content in members.items():
        modules[name] = types.ModuleType(name)
        vars(modules[name]).update(content)
    return modules
