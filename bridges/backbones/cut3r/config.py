"""Sizes of CUT3R: of the published checkpoints, of our own small one, of tiny ones for tests."""

from dataclasses import dataclass, replace
from typing import Literal

Head = Literal["dpt", "linear"]


@dataclass(frozen=True)
class Cut3rConfig:
    """What defines the network, apart from its weights.

    Attributes:
        name: of the variant.
        image_side: pixels: of the long side where the crop is a rectangle (512), of both sides
            where it is a square (224).
        square: whether images are cropped to a square.
        patch: pixels of a side of a patch.
        encoder_width, encoder_depth, encoder_heads: of the image encoder.
        width: channels of both decoders, of the state and of the geometric features.
        depth: layers of both decoders.
        image_heads: attention heads of the image branch; its width per head is a multiple of 4.
        state_heads: attention heads of the state branch; the same holds.
        state_tokens: s, the rows of the recurrent state.
        memory_tokens: rows of the pose memory.
        memory_depth: blocks that read, and that write, the pose memory.
        head: of points and confidences.
        rope_base: of the rotary positions.
        shrink: pixels of the processed image across one of the model's.
        half_rope: whether the encoder rounds queries and keys to float16 before and after their
            rotation, as the published code does in every precision; it shifts the outputs by
            2e-4 of their range.
        dpt_levels: channels of the four levels of a DPT head, fine to coarse.
        dpt_width: channels while a DPT head fuses its levels.
    """

    name: str
    image_side: int
    square: bool
    head: Head
    patch: int = 16
    encoder_width: int = 1024
    encoder_depth: int = 24
    encoder_heads: int = 16
    width: int = 768
    depth: int = 12
    image_heads: int = 12
    state_heads: int = 16
    state_tokens: int = 768
    memory_tokens: int = 256
    memory_depth: int = 2
    rope_base: float = 100.0
    shrink: int = 1
    half_rope: bool = True
    dpt_levels: tuple[int, int, int, int] = (96, 192, 384, 768)
    dpt_width: int = 256

    @property
    def hooks(self) -> tuple[int, int]:
        """After how many decoder layers the two middle levels of a DPT head are taken."""
        return self.depth * 2 // 4, self.depth * 3 // 4


DPT_512 = Cut3rConfig("dpt_512", image_side=512, square=False, head="dpt")
LINEAR_224 = Cut3rConfig("linear_224", image_side=224, square=True, head="linear")
VARIANTS = {config.name: config for config in (DPT_512, LINEAR_224)}

# Patches, state tokens and widths all differ, so that no transposed tensor fits.
TINY_DPT = replace(
    DPT_512,
    name="tiny_dpt",
    image_side=64,
    encoder_width=64,
    encoder_depth=2,
    encoder_heads=4,
    width=48,
    depth=4,
    image_heads=3,
    state_heads=2,
    state_tokens=10,
    memory_tokens=7,
)
TINY_LINEAR = replace(TINY_DPT, name="tiny_linear", image_side=48, square=True, head="linear")

# Our own, trained on procedural rooms at 128x96 by experiments/mini_backbones. Its pose token is a
# learned one in every frame, as the paper tells it: no blocks read or write the pose memory, which
# would hold half of its parameters.
MINI = Cut3rConfig(
    "mini",
    image_side=128,
    square=False,
    head="linear",
    patch=8,
    encoder_width=192,
    encoder_depth=6,
    encoder_heads=6,
    width=192,
    depth=4,
    image_heads=6,
    state_heads=6,
    state_tokens=256,
    memory_tokens=1,
    memory_depth=0,
    shrink=4,
    half_rope=False,
)
