"""Weights to begin with."""

import torch
from torch import nn

from bridges.backbones.cut3r import Cut3r, Cut3rConfig
from bridges.backbones.cut3r.attention import CrossAttention, SelfAttention

AHEAD = 1.1  # Raw z of points: expm1 of it is two metres.
# Of queries' and keys' biases, head by head: with 32 channels a head, a neighbour has e^-0.5, e^-2
# and e^-5 of the weight. What they say of content is small at first, or it would drown that.
NEARNESS = (1.5, 3.0, 4.5)
CONTENT = 0.2


def fresh_model(config: Cut3rConfig, seed: int) -> Cut3r:
    """A model to train: Xavier matrices, calm residual branches, calm last layers.

    Points begin two metres ahead, poses at the first camera, norms unmodulated; half of the heads
    look near their own position, also from the image to the state and back. So the state keeps
    from the first step on what was seen where, and a frame finds it there: the comparison that
    motion is told by need not be discovered first.
    """
    model = Cut3r(config)
    generator = torch.Generator().manual_seed(seed)
    depths = {"encoder": config.encoder_depth, "decoder": config.depth}
    memory = model.pose_memory
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            part, kind = name.split(".")[0], name.split(".")[-1]
            if kind == "bias":
                parameter.zero_()
            elif parameter.ndim == 1:
                parameter.fill_(1.0)
            elif kind == "weight":
                nn.init.xavier_uniform_(parameter.flatten(1), generator=generator)
                if "modulation" in name:
                    parameter.zero_()
                if name.endswith(("proj.weight", "mlp.fc2.weight")) and "patch_embed" not in name:
                    parameter.mul_((2 * depths.get(part, 1)) ** -0.5)
            else:  # Tokens: as large as normalised ones.
                parameter.normal_(0.0, 1.0, generator=generator)
        for part in (model.encoder, model.decoder):
            _look_near(part)
        _calm_heads(model)
        if not config.memory_depth:  # Nothing reads these.
            for parameter in (memory.initial, *memory.image.parameters()):
                parameter.zero_().requires_grad_(False)
    return model


def _look_near(part: nn.Module) -> None:
    """Gives half of the heads queries and keys with a common part.

    Turned by rotary positions, its product falls with the distance: Σ_i cos(θ_i·Δ).
    """
    for layer in part.modules():
        if isinstance(layer, SelfAttention):
            widest = NEARNESS[:1] * (layer.heads // 2)
            _near_heads(layer.qkv, 3, layer.heads, (0, 1), widest)
        elif isinstance(layer, CrossAttention):
            ladder = (NEARNESS * layer.heads)[: layer.heads // 2]
            _near_heads(layer.q, 1, layer.heads, (0,), ladder)
            _near_heads(layer.kv, 2, layer.heads, (0,), ladder)


def _near_heads(
    layer: nn.Linear, parts: int, heads: int, which: tuple[int, ...], biases: tuple[float, ...]
) -> None:
    """Biases of the first heads of queries or keys, ``which`` of a layer's parts."""
    bias = layer.bias.unflatten(0, (parts, heads, -1))
    weight = layer.weight.unflatten(0, (parts, heads, -1))
    for part in which:
        for head, value in enumerate(biases):
            bias[part, head] = value
            weight[part, head] *= CONTENT


def _calm_heads(model: Cut3r) -> None:
    for view in (model.heads.self_view, model.heads.world_view):
        last = view.net.mlp.fc2
        last.weight.mul_(0.1)
        last.bias.view(4, -1)[2] = AHEAD
    model.heads.pose.fc2.weight.mul_(0.1)
    model.heads.pose.fc2.bias[3] = 1.0
