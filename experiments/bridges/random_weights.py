"""Random full-size weights for every neural backbone: the numbers mean nothing, the plumbing all.

    python -m experiments.bridges.random_weights --out=WEIGHTS
    MOONSEG_WEIGHTS=WEIGHTS moonseg segment --source=VIDEO --rfm=cut3r --semantic=dinov3 \
        --masks=fastsam --checkpoint=none --out=RESULT

Writes 4.5 GB: CUT3R dpt_512 under its published names, DINOv3 ViT-L as the hub lays it out, and
FastSAM-x.
"""

import argparse
from pathlib import Path

from safetensors.torch import save_file

from bridges.backbones.cut3r import VARIANTS, Cut3r
from bridges.backbones.cut3r.checkpoint import published_tensors
from bridges.backbones.dinov3 import DinoV3
from bridges.backbones.yolov8_seg import random_network
from bridges.checkpoints import KNOWN

CUT3R_NAMES = {"dpt_512": "cut3r_512_dpt_4_64", "linear_224": "cut3r_224_linear_4"}
DINOV3_NAMES = {"small": "vits16", "base": "vitb16", "large": "vitl16"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cut3r", choices=list(CUT3R_NAMES), default="dpt_512")
    parser.add_argument("--dinov3", choices=list(DINOV3_NAMES), default="large")
    parser.add_argument("--fastsam", choices=["s", "x"], default="x")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    model = Cut3r.random(VARIANTS[args.cut3r], args.seed)
    tensors = published_tensors(model.named_parameters(), model.config.head)
    save_file(tensors, args.out / f"{CUT3R_NAMES[args.cut3r]}.safetensors")
    del model
    hub_id = next(k.hub_id for k in KNOWN if DINOV3_NAMES[args.dinov3] in k.hub_id)
    DinoV3.random(args.dinov3, args.seed).model.save_pretrained(args.out / Path(hub_id).name)
    network = random_network(args.fastsam, args.seed).state_dict()
    save_file(network, args.out / f"FastSAM-{args.fastsam}.safetensors")


if __name__ == "__main__":
    main()
