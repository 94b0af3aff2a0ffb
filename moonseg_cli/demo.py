"""`moonseg demo`: a room rendered, cached, segmented and scored, with the ablation of the core."""

import argparse
import json
import shutil
import time
from pathlib import Path

from moonseg_cli.backbones import at_least

ROWS = {
    "features only": "none",
    "+ refinement": "classical_refinement",
    "+ distillation": "classical_distillation",
    "+ memory": "classical",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it goes and which room."""
    parser.add_argument("--out", default="out/demo", metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--seed",
        type=at_least(0),
        default=7001,
        help="of the room; trainings used seeds under 7000",
    )
    parser.add_argument("--frames", type=at_least(1), default=60, help="default: %(default)s")


def run(args: argparse.Namespace) -> None:
    """Runs the whole line and prints the ablation and where everything is."""
    from rich.console import Console
    from rich.table import Table

    from moonseg_jax.cache import check_may_write

    out = Path(args.out)
    check_may_write(out / "room")
    started = time.perf_counter()
    room, cache = make_recording(out, args.seed, args.frames)
    table = Table("", "AP", "AP50", "AP25", title=f"an unseen room, {args.frames} frames")
    ablation = {}
    for row, weights in ROWS.items():
        metrics = segment_and_score(cache, room, out / "ablation" / row.strip("+ "), weights)
        ablation[row] = {name: metrics[name] for name in ("ap", "ap50", "ap25")}
        table.add_row(row, *(f"{100 * value:.1f}" for value in ablation[row].values()))
    publish(out, out / "ablation" / row.strip("+ "), {**metrics, "ablation": ablation})
    Console().print(table)
    print(f"{time.perf_counter() - started:.0f} s. Look at {out}/picture.png and {out}/scene.ply")


def make_recording(out: Path, seed: int, frames: int) -> tuple[Path, Path]:
    """Renders a room as a posed RGB-D folder with imitated 2D masks, and caches it."""
    from moonseg_cli.cache import cache_recording
    from moonseg_jax.rooms import CorruptionRates, write_room

    room, cache = out / "room", out / "cache"
    write_room(room, seed=seed, frames=frames, rates=CorruptionRates())
    cache_recording(str(room), cache, masks=str(room / "masks"))
    return room, cache


def segment_and_score(cache: Path, room: Path, out: Path, weights: str) -> dict:
    """One row of the ablation: predictions folder and its metrics."""
    from moonseg_cli.eval import evaluate_results
    from moonseg_cli.segment import segment_cache
    from moonseg_jax.eval.predictions import write_metrics
    from moonseg_jax.weights import FOLDER

    checkpoint = weights if weights == "none" else FOLDER / f"{weights}.safetensors"
    segment_cache(cache, out, checkpoint)
    metrics = evaluate_results([out], [room])
    write_metrics(out, metrics)
    return metrics


def publish(out: Path, best: Path, metrics: dict) -> None:
    """Puts the last row's results where the README says they are."""
    for name in ("picture.png", "scene.ply", "instances.npz"):
        shutil.copy(best / name, out / name)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2))
