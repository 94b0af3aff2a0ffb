"""The flags that choose frames and frozen backbones, of `moonseg cache` and `moonseg segment`."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridges.bridge import BridgeConfig

# By option, the names that weights are known by; without the option the first found is taken.
WEIGHTS = {
    "rfm": "cut3r_512_dpt_4_64 or cut3r_224_linear_4 (.pth, or .safetensors of `moonseg convert`)",
    "semantic": "dinov3_vitl16, dinov3_vitb16, dinov3_vits16 or dinov3_vith16plus (Meta's .pth, or"
    " the hub's folder)",
    "mask": "FastSAM-x or FastSAM-s (.pt); sam2.1-hiera-large, sam2.1-hiera-base-plus,"
    " sam2.1-hiera-small or sam2.1-hiera-tiny (the hub's folder)",
}


def at_least(least: int) -> Callable[[str], int]:
    """A type of whole numbers for `argparse`, which says what is allowed."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number of {least} or more")
        return value

    return number


def add_frames(parser: argparse._ActionsContainer) -> None:
    """Which frames of a recording."""
    parser.add_argument(
        "--stride", type=at_least(1), default=1, metavar="N", help="take every N-th frame"
    )
    parser.add_argument(
        "--max-frames", type=at_least(0), default=0, metavar="N", help="stop after N; 0 = all"
    )


def add_backbones(parser: argparse.ArgumentParser) -> None:
    """Which models look at the frames, their weights, and how they are run."""
    group = parser.add_argument_group(
        "backbones",
        "Weights are looked for in $MOONSEG_WEIGHTS, by default ~/.cache/moonseg/weights, and among"
        " the hub's downloads; `moonseg doctor` says what is found and where to get the rest.",
    )
    group.add_argument(
        "--rfm",
        default="sensor",
        help="geometry: sensor (depth and poses given), cut3r, mini (a small one of our own)",
    )
    group.add_argument(
        "--semantic",
        default="classical",
        help="semantic features: classical, dinov3, mini (a small one of our own)",
    )
    group.add_argument(
        "--masks",
        default="felzenszwalb",
        metavar="DIR|NAME",
        help="2D masks: a folder of label maps ({scene} stands for the scene's name), or "
        "felzenszwalb, fastsam, sam2, mini (a small one of our own)",
    )
    for name, known in WEIGHTS.items():
        group.add_argument(
            f"--{name}-weights",
            default="",
            metavar="PATH|NAME",
            help=f"path, or name: {known}; default: the first found (of mini: what is installed)",
        )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1; default: auto")
    group.add_argument(
        "--dtype",
        default="auto",
        help="of the models' matrix products: float32, bfloat16; default: bfloat16 on a GPU",
    )
    group.add_argument(
        "--with-state-attention",
        action="store_true",
        help="with --rfm=cut3r or mini: also keep its state-to-image attention, about 1 MB a frame"
        " before compression, by which `moonseg segment` matches instances as well (Eq. 11, 12)",
    )
    group.add_argument("--update-rule", default="cut3r", help="of CUT3R's state: cut3r, ttt3r")
    group.add_argument(
        "--reset-every",
        type=at_least(0),
        metavar="N",
        help="frames after which CUT3R's state starts anew; 0 = never (default: never, of mini 32)",
    )
    group.add_argument(
        "--align-poses",
        action=argparse.BooleanOptionalAction,
        help="correct the poses of cut3r or mini so that what earlier frames saw has the same"
        " colours in this one (default: of mini)",
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
        align_poses=args.align_poses,
    )
