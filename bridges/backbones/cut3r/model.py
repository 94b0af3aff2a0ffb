"""CUT3R: one frame in, geometry out, constant memory.

Wang et al., "Continuous 3D perception model with persistent state", CVPR 2025. The parameters are
those of the published checkpoints, without the colour head and the ray-map encoder.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from bridges.backbones.cut3r.attention import Linear
from bridges.backbones.cut3r.checkpoint import find_config, load_tensors
from bridges.backbones.cut3r.config import Cut3rConfig
from bridges.backbones.cut3r.decoder import Decoded, Decoder
from bridges.backbones.cut3r.encoder import Encoder, PatchEmbed
from bridges.backbones.cut3r.focal import FocalFit
from bridges.backbones.cut3r.heads import Heads
from bridges.backbones.cut3r.initialise import randomise
from bridges.backbones.cut3r.output import Cut3rOutput
from bridges.backbones.cut3r.pose_memory import PoseMemory
from bridges.backbones.cut3r.reading import Request, mask_columns
from bridges.backbones.cut3r.regression import pose_matrix
from bridges.backbones.cut3r.rope import RopeTables
from bridges.backbones.cut3r.state import UPDATE_RULES, Cut3rState, UpdateRule, update_tokens


class Cut3r(nn.Module):
    """The network; a batch is several scenes, each with its own state.

    Attributes:
        config: its sizes.
        ropes: tables of its rotary positions.
        side: a CUDA stream for what may run beside the rest; None runs all in turn.
    """

    def __init__(self, config: Cut3rConfig) -> None:
        super().__init__()
        self.config = config
        self.side: torch.cuda.Stream | None = None
        self.encoder = Encoder(config)
        self.initial_tokens = nn.Parameter(torch.zeros(config.state_tokens, config.encoder_width))
        self.state_embed = Linear(config.encoder_width, config.width)
        self.pose_memory = PoseMemory(config)
        self.decoder = Decoder(config)
        self.heads = Heads(config)
        self.focal = FocalFit()
        self.ropes = RopeTables(config)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        variant: str | Cut3rConfig | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        head_dtype: torch.dtype = torch.float32,
    ) -> "Cut3r":
        """Loads a published checkpoint as downloaded, or what was converted from one.

        Args:
            path: ``.pth`` or ``.safetensors``.
            variant: a name in `VARIANTS` or sizes of one's own; told by the tensors if None.
            device: where to.
            dtype: of the matrix products of encoder and decoders.
            head_dtype: of the heads of points.

        Raises:
            InputError: no such variant; missing, surplus or misshapen tensors.
        """
        from bridges.checkpoints import read_tensors

        tensors = read_tensors(Path(path))
        config = find_config(tensors, variant, path)
        with torch.device("meta"):
            model = cls(config)
        load_tensors(model, tensors, path)
        return model.eval().to(device).cast(dtype, head_dtype)

    @classmethod
    def random(cls, config: Cut3rConfig, seed: int) -> "Cut3r":
        """Random weights, the same for the same seed: for tests and plumbing."""
        with torch.device("meta"):
            model = cls(config)
        model = model.to_empty(device="cpu")
        randomise(model, seed)
        return model.eval()

    def cast(self, dtype: torch.dtype, head_dtype: torch.dtype = torch.float32) -> "Cut3r":
        """Runs matrix products in ``dtype``, the convolutions of the heads in ``head_dtype``.

        Norms, the residual stream, the state and all that leaves the model keep their precision.
        """
        for part in (self.encoder, self.pose_memory, self.decoder, self.heads.pair):
            for layer in part.modules():
                if isinstance(layer, (Linear, PatchEmbed)):
                    layer.to(dtype)
        for view in (self.heads.self_view, self.heads.world_view):
            view.net.to(dtype=head_dtype, memory_format=torch.channels_last)
        return self

    def init_state(self, batch: int = 1) -> Cut3rState:
        """The state before the first frame of ``batch`` scenes."""
        tokens = self.state_embed(self.initial_tokens)
        memory = self.pose_memory.initial
        frames = torch.zeros(batch, dtype=torch.int64, device=tokens.device)
        return Cut3rState(tokens.repeat(batch, 1, 1), memory.repeat(batch, 1, 1), frames)

    def encode(self, images: Tensor) -> Tensor:
        """Encodes images of any scenes and times at once.

        Args:
            images: ``[n 3 H W]`` in -1..1; H and W multiples of the patch.

        Returns:
            ``[n h w encoder_width]``.
        """
        grid = images.shape[2] // self.config.patch, images.shape[3] // self.config.patch
        return self.encoder(images, self.ropes.encoder(grid, self.encoder.norm.weight))

    def step(
        self,
        image: Tensor,
        state: Cut3rState,
        masks: Tensor | None = None,
        with_attention: bool = False,
        update_rule: UpdateRule = "cut3r",
    ) -> tuple[Cut3rOutput, Cut3rState]:
        """Takes the next frame of each scene: ``image [b 3 H W]``; see `step_encoded`."""
        return self.step_encoded(self.encode(image), state, masks, with_attention, update_rule)

    def step_encoded(
        self,
        tokens: Tensor,
        state: Cut3rState,
        masks: Tensor | None = None,
        with_attention: bool = False,
        update_rule: UpdateRule = "cut3r",
    ) -> tuple[Cut3rOutput, Cut3rState]:
        """Takes the next frame of each scene, as `encode` gave it.

        Args:
            tokens: ``[b h w encoder_width]``.
            state: as `init_state` or the frame before left it.
            masks: ``[b q p]`` share of each patch inside each mask; asks for ``state_tokens``.
            with_attention: asks for ``state_attention``.
            update_rule: ``cut3r``, or ``ttt3r``, which forgets less over long sequences.
        """
        if update_rule not in UPDATE_RULES:
            raise ValueError(f"update_rule must be one of {UPDATE_RULES}, not {update_rule!r}")
        grid, patches = (tokens.shape[1], tokens.shape[2]), tokens.flatten(1, 2)
        first = state.frames == 0
        view = patches.mean(dim=1, keepdim=True)
        pose = self.pose_memory.read(view, state.pose_memory, first)
        ropes = self.ropes.decoder(grid, self.decoder.image_norm.weight)
        request = Request(with_attention, self._columns(masks), update_rule == "ttt3r")
        decoded = self.decoder(patches, pose, state.tokens, ropes, request, self.side)
        told = self.heads(patches, decoded, grid, ropes[0].image[:, 1:], self.side)
        logits = decoded.reading.logits
        mean_logits = None if logits is None else logits / self.config.depth
        after = Cut3rState(
            update_tokens(state.tokens, decoded.state, first, mean_logits),
            self.pose_memory.write(view, decoded.pose, state.pose_memory),
            state.frames + 1,
        )
        output = Cut3rOutput(
            points_self=told.points_self,
            points_world=told.points_world,
            conf_self=told.conf_self,
            conf_world=told.conf_world,
            T_world_from_cam=pose_matrix(told.pose),
            pose_encoding=told.pose,
            intrinsics=self.focal(told.points_self),
            features=decoded.tokens.unflatten(1, grid),
            state_attention=self._state_attention(decoded, grid),
            state_tokens=self._state_tokens(decoded, masks),
        )
        return output, after

    def _columns(self, masks: Tensor | None) -> Tensor | None:
        if masks is None:
            return None
        dtype = self.decoder.embed.weight.dtype
        return mask_columns(masks, self.config.state_heads, dtype)

    def _state_attention(self, decoded: Decoded, grid: tuple[int, int]) -> Tensor | None:
        total = decoded.reading.matrix
        return None if total is None else (total[..., 1:] / self.config.depth).unflatten(-1, grid)

    def _state_tokens(self, decoded: Decoded, masks: Tensor | None) -> Tensor | None:
        total = decoded.reading.sums
        if total is None or masks is None:
            return None
        return total[:, : masks.shape[1]] / self.config.depth
