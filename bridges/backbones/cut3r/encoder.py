"""The image encoder: a ViT that knows nothing of the other frames."""

from torch import Tensor, nn

from bridges.backbones.cut3r.attention import LayerNorm
from bridges.backbones.cut3r.blocks import EncoderBlock
from bridges.backbones.cut3r.config import Cut3rConfig


class PatchEmbed(nn.Conv2d):
    """A convolution that takes its input to the precision of its weights."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__(3, width, patch, stride=patch)

    def forward(self, input: Tensor) -> Tensor:
        """``[n 3 H W]`` to ``[n width h w]``."""
        return super().forward(input.to(self.weight.dtype))


class Encoder(nn.Module):
    """Patch embedding and self-attention blocks; rotary positions in every block."""

    def __init__(self, config: Cut3rConfig) -> None:
        super().__init__()
        width = config.encoder_width
        self.patch_embed = PatchEmbed(config.patch, width)
        self.blocks = nn.ModuleList(
            EncoderBlock(width, config.encoder_heads, config.half_rope)
            for _ in range(config.encoder_depth)
        )
        self.norm = LayerNorm(width)

    def forward(self, images: Tensor, rope: Tensor) -> Tensor:
        """Encodes images.

        Args:
            images: ``[n 3 H W]`` in -1..1.
            rope: ``[2 h*w head_width]`` of the patches.

        Returns:
            ``[n h w encoder_width]``.
        """
        patches = self.patch_embed(images)
        x = patches.flatten(2).transpose(1, 2).to(self.norm.weight.dtype)
        for block in self.blocks:
            x = block(x, rope)
        return self.norm(x).unflatten(1, patches.shape[2:])
