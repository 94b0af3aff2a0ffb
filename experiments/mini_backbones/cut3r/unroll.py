"""The model over whole sequences: all frames at once but for the recurrence."""

import torch
from torch import Tensor

from bridges.backbones.cut3r import Cut3r
from bridges.backbones.cut3r.decoder import Decoded
from bridges.backbones.cut3r.heads import Told
from bridges.backbones.cut3r.reading import Reading
from bridges.backbones.cut3r.regression import decode_pose


def unroll(model: Cut3r, images: Tensor) -> Told:
    """What `Cut3r.step` tells of each frame, by its own rule, time and sequence as leading axes.

    Encoder and heads see all frames as one batch; only the decoders go frame by frame. Under
    autocast the last layers, which tell metres, keep float32.

    Args:
        model: in float32.
        images: ``[t b 3 H W]`` in -1..1.

    Returns:
        ``[t*b ...]``, time first.
    """
    length, batch = images.shape[:2]
    encoded = model.encode(images.flatten(0, 1))
    grid, patches = (encoded.shape[1], encoded.shape[2]), encoded.flatten(1, 2)
    ropes = model.ropes.decoder(grid, model.decoder.image_norm.weight)
    state = model.init_state(batch)
    tokens, memory, first = state.tokens.float(), state.pose_memory, state.frames == 0
    seen = []
    for frame in patches.unflatten(0, (length, batch)).unbind():
        view = frame.mean(dim=1, keepdim=True)
        pose = model.pose_memory.read(view, memory, first)
        decoded = model.decoder(frame, pose, tokens, ropes)
        memory = model.pose_memory.write(view, decoded.pose, memory)
        tokens, first = decoded.state, torch.zeros_like(first)
        seen.append(decoded)
    return tell(model, patches, _joined(seen), grid, ropes[0].image[:, 1:])


def tell(
    model: Cut3r, patches: Tensor, decoded: Decoded, grid: tuple[int, int], rope: Tensor
) -> Told:
    """`Heads.forward`, the last layers in float32 under autocast."""
    heads, world = model.heads, decoded.tokens
    for block in heads.pair:
        world = block(world, decoded.pose, rope)
    with torch.autocast(patches.device.type, enabled=False):
        before = (patches, *decoded.middle)
        own_points, own_conf = heads.self_view((*before, decoded.tokens), grid)
        world_points, world_conf = heads.world_view((*before, world), grid)
        pose = decode_pose(heads.pose(decoded.pose[:, 0]))
    return Told(own_points, own_conf, world_points, world_conf, pose)


def _joined(seen: list[Decoded]) -> Decoded:
    middle = zip(*(decoded.middle for decoded in seen), strict=True)
    first, second = (torch.cat(levels) for levels in middle)
    return Decoded(
        torch.cat([decoded.pose for decoded in seen]),
        (first, second),
        torch.cat([decoded.tokens for decoded in seen]),
        seen[-1].state,
        Reading(),
    )
