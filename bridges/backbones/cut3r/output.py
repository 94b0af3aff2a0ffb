"""What the model says of a frame."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Cut3rOutput:
    """What is known of a frame; the world is the first camera's frame, lengths in scene units.

    Attributes:
        points_self: ``[b H W 3]`` in the camera's frame.
        points_world: ``[b H W 3]`` in the world's.
        conf_self, conf_world: ``[b H W]``, from one up.
        T_world_from_cam: ``[b 4 4]``.
        pose_encoding: ``[b 7]``: translation, quaternion w, x, y, z with w ≥ 0.
        intrinsics: ``[b 3 3]`` fitted to ``points_self``; pixel centres at +0.5.
        features: ``[b h w width]``, the decoder's last image tokens after the norm.
        state_attention: ``[b s h w]``, the weights with which state tokens read patches, mean
            over layers and heads; on request.
        state_tokens: ``[b q s]``, their sums over each mask; where masks are given.
    """

    points_self: Tensor
    points_world: Tensor
    conf_self: Tensor
    conf_world: Tensor
    T_world_from_cam: Tensor
    pose_encoding: Tensor
    intrinsics: Tensor
    features: Tensor
    state_attention: Tensor | None = None
    state_tokens: Tensor | None = None
