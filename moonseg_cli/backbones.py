"""The flags that choose the frozen backbones, shared by `moonseg cache` and `moonseg segment`."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridges.bridge import BridgeConfig


def add_backbones(parser: argparse.ArgumentParser) -> None:
    """Which models look at the frames, their weights, and how they are run."""
    group = parser.add_argument_group("backbones")
    group.add_argument(
        "--rfm", default="sensor", help="geometry: sensor (depth and poses given), cut3r"
    )
    group.add_argument(
        "--semantic", default="classical", help="semantic features: classical, dinov3"
    )
    group.add_argument(
        "--masks",
        default="felzenszwalb",
        metavar="DIR|NAME",
        help="2D masks: a folder of label maps ({scene} stands for the scene's name), or "
        "felzenszwalb, fastsam, sam2",
    )
    for name in ("rfm", "semantic", "mask"):
        group.add_argument(f"--{name}-weights", default="", metavar="PATH", help="file or folder")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1; default: auto")
    group.add_argument(
        "--dtype",
        default="auto",
        help="of the models' matrix products: float32, bfloat16; default: bfloat16 on a GPU",
    )
    group.add_argument(
        "--with-state-attention", action="store_true", help="give A, for the state token"
    )
    group.add_argument("--update-rule", default="cut3r", help="of CUT3R's state: cut3r, ttt3r")
    group.add_argument(
        "--reset-every", type=int, default=0, metavar="N", help="frames; 0 = never (CUT3R)"
    )


def bridge_config(args: argparse.Namespace) -> "BridgeConfig":
    """What the flags say; InputError for a word that no backbone has."""
    from bridges.bridge import BridgeConfig

    return BridgeConfig(
        rfm=args.rfm,
        semantic=args.semantic,
        masks=args.masks,
        rfm_weights=args.rfm_weights,
        semantic_weights=args.semantic_weights,
        mask_weights=args.mask_weights,
        device=args.device,
        dtype=args.dtype,
        state_attention=args.with_state_attention,
        update_rule=args.update_rule,
        reset_every=args.reset_every,
    )
