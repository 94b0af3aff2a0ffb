"""Our CUT3R beside the published code, same random weights, full size, on the CPU.

    git clone https://github.com/CUT3R/CUT3R      # CC BY-NC-SA 4.0
    git clone https://github.com/Inception3D/TTT3R
    python -m experiments.bridges.cut3r_parity --upstream CUT3R [--ttt3r TTT3R] [--json]

Three frames at 512×288, 512×384 (dpt_512) and 224×224 (linear_224): the largest difference of
every output and of the state after each frame, relative to the largest number of that output.
Exit code 1 where one exceeds ``--tolerance``. ``--golden FILE`` writes the small file of the tests
instead.

The published encoder rounds queries and keys to float16 around their rotation, and ours can do so,
too: both are compared with the rounding and without. `cut3r_upstream` says how the code runs here.
"""

import argparse
import gc
import importlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bridges.backbones.cut3r import TINY_DPT, TINY_LINEAR, VARIANTS, Cut3r, Cut3rConfig
from bridges.backbones.cut3r.checkpoint import load_tensors
from bridges.backbones.cut3r.focal import fit_intrinsics
from experiments.bridges.cut3r_upstream import build_published, published, published_view
from tests.bridges.cut3r.formula import formula_images, formula_points

SIZES = (("dpt_512", (288, 512)), ("dpt_512", (384, 512)), ("linear_224", (224, 224)))
FRAMES = 3
FOCAL, FOCAL_SIZE = 300.0, (192, 256)
GOLDEN_SIZE, GOLDEN_BATCH = (48, 64), 2
GOLDEN_PIXELS = (slice(1, None, 5), slice(2, None, 5))
PUBLISHED = {
    "pts3d_in_self_view": "points_self",
    "pts3d_in_other_view": "points_world",
    "conf_self": "conf_self",
    "conf": "conf_world",
    "camera_pose": "pose_encoding",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--upstream", type=Path, required=True, help="checkout of CUT3R")
    parser.add_argument("--ttt3r", type=Path, help="checkout of TTT3R: compare its rule, too")
    parser.add_argument("--only", choices=[f"{v}:{s[1]}x{s[0]}" for v, s in SIZES])
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--golden", type=Path, help="write the golden file of the tests")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    if args.golden:
        write_golden(args.upstream, args.ttt3r, args.golden)
        return
    rows = []
    for variant, size in SIZES:
        if args.only not in (None, f"{variant}:{size[1]}x{size[0]}"):
            continue
        for rounded in (True, False):
            rows.append(compare(args.upstream, variant, size, "cut3r", rounded))
        if args.ttt3r:
            rows.append(compare(args.ttt3r, variant, size, "ttt3r", True))
    print(json.dumps(rows, indent=1) if args.json else table(rows))
    sys.exit(any(row["worst"] > args.tolerance for row in rows))


def compare(
    upstream: Path, variant: str, size: tuple[int, int], rule: str, rounded: bool
) -> dict[str, Any]:
    """Runs both on the same frames, one model in memory at a time."""
    config = replace(VARIANTS[variant], half_rope=rounded)
    images = formula_images(FRAMES, 1, size)
    with published(upstream, rounded):
        model = build_published(config, rule)
        theirs = run_published(model, images)
        focal = published_focal(FOCAL_SIZE)
        tensors = dict(model.named_parameters())
        del model
    ours = run_ours(config, tensors, images, rule)
    errors = [
        {name: relative_error(mine[name], frame[name]) for name in frame}
        for mine, frame in zip(ours, theirs, strict=True)
    ]
    del tensors, ours, theirs
    gc.collect()
    largest = {name: max(frame[name] for frame in errors) for name in errors[0]}
    own_focal = fit_intrinsics(formula_points(FOCAL_SIZE, FOCAL))[:, 0, 0]
    row = {"focal_error": relative_error(own_focal, focal)}  # We count pixels from their centres.
    print(f"{variant} {size} {rule} rounded={rounded}: {largest}", file=sys.stderr)
    row |= {"variant": variant, "size": f"{size[1]}x{size[0]}", "rule": rule, "rounded": rounded}
    return row | {"worst": max(largest.values()), "errors": largest, "frames": errors}


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference over the largest number."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def run_ours(
    config: Cut3rConfig, tensors: dict[str, Tensor], images: Tensor, rule: str
) -> list[dict[str, Tensor]]:
    """Every output and the state after each frame."""
    with torch.device("meta"):
        model = Cut3r(config)
    load_tensors(model, tensors, "the published model's parameters")
    model.eval()
    state, told = model.init_state(images.shape[1]), []
    for image in images:
        output, state = model.step(image, state, with_attention=rule == "ttt3r", update_rule=rule)
        fields = {name: getattr(output, name) for name in PUBLISHED.values()}
        fields |= {"features": output.features, "T_world_from_cam": output.T_world_from_cam}
        fields |= {"state": state.tokens, "pose_memory": state.pose_memory}
        if output.state_attention is not None:
            fields["state_attention"] = output.state_attention
        told.append(fields)
    return told


def run_published(model: nn.Module, images: Tensor) -> list[dict[str, Tensor]]:
    """The same of the published code."""
    camera = importlib.import_module("dust3r.utils.camera")
    rollouts = []
    rollout = model._recurrent_rollout

    def recorded(*args: Any, **kwargs: Any) -> Any:
        result = list(rollout(*args, **kwargs))
        result[1] = list(result[1])
        rollouts.append((result[1][-1], mean_attention(result)))
        return tuple(result)

    model._recurrent_rollout = recorded
    output, states = model([published_view(image) for image in images], ret_state=True)
    height, width = images.shape[-2:]
    told = []
    for frame, (tokens, attention), state in zip(output.ress, rollouts, states[1:], strict=True):
        fields = {ours: frame[theirs] for theirs, ours in PUBLISHED.items()}
        grid = (height // 16, width // 16)
        fields["features"] = tokens[:, 1:].unflatten(1, grid)
        fields["T_world_from_cam"] = camera.pose_encoding_to_camera(frame["camera_pose"])
        fields |= {"state": state[0], "pose_memory": state[3]}
        if attention is not None:
            fields["state_attention"] = attention[..., 1:].unflatten(-1, grid)
        told.append(fields)
    return told


def mean_attention(rollout: list[Any]) -> Tensor | None:
    """Softmax weights of the state's cross-attention, mean over layers and heads (TTT3R only)."""
    if len(rollout) == 2:
        return None
    layers = list(rollout[3])
    return torch.stack([logits.softmax(-1).mean(1) for logits in layers]).mean(0)


def published_focal(size: tuple[int, int]) -> Tensor:
    """The focal length that the published demo fits to points of a known camera."""
    code = importlib.import_module("dust3r.post_process")
    centre = torch.tensor([[size[1] // 2, size[0] // 2]]).float()
    points = formula_points(size, FOCAL)
    return code.estimate_focal_knowing_depth(points, centre, focal_mode="weiszfeld")


def write_golden(upstream: Path, ttt3r: Path | None, file: Path) -> None:
    """What the published code says at tiny sizes; pixels thinned out."""
    if ttt3r is None:
        sys.exit("--golden needs --ttt3r, too")
    arrays: dict[str, np.ndarray] = {}
    cases = [(TINY_DPT, "cut3r", upstream), (TINY_LINEAR, "cut3r", upstream)]
    cases += [(TINY_DPT, "ttt3r", ttt3r)]
    for config, rule, code in cases:
        # TTT3R's rule is written for one scene at a time.
        batch = GOLDEN_BATCH if rule == "cut3r" else 1
        with published(code, rounded=True):
            arrays["focal"] = published_focal(FOCAL_SIZE).numpy()
            frames = run_published(
                build_published(config, rule), formula_images(FRAMES, batch, GOLDEN_SIZE)
            )
        for index, frame in enumerate(frames):
            for name, values in frame.items():
                if name.startswith(("points", "conf")):
                    values = values[:, *GOLDEN_PIXELS]
                arrays[f"{config.name}/{rule}/{index}/{name}"] = values.float().numpy()
    np.savez_compressed(file, **arrays)
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


@dataclass(frozen=True)
class Column:
    """One comparison of the table."""

    title: str
    row: dict[str, Any]


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table, one column a comparison, one row an output."""
    columns = [
        Column(f"{r['size']} {r['rule']}{'' if r['rounded'] else ', unrounded'}", r) for r in rows
    ]
    names = list(dict.fromkeys(name for row in rows for name in row["errors"]))
    lines = ["| output | " + " | ".join(c.title for c in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name in names:
        cells = [c.row["errors"].get(name) for c in columns]
        shown = ["" if error is None else f"{error:.1e}" for error in cells]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
