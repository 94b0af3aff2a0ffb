"""`moonseg demo`: an unseen room reconstructed, segmented, scored and drawn."""

import argparse
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from moonseg_cli.backbones import at_least
from moonseg_cli.progress import track

ASSOCIATIONS = ("gt", "cameras")  # Protocols A and B.
METRICS = ("ap", "ap50", "ap25")
STAGES = ("load", "render", "cache", "segment", "score", "draw")


@dataclass(frozen=True)
class Kind:
    """What sees the room.

    Attributes:
        backbones: fields of `BridgeConfig`; without ``masks`` they are the room's imitated ones.
        recording: what of the room they are given; ``.``: all of it.
        weights: of the trained core, that ship.
    """

    backbones: dict[str, Any]
    recording: str
    weights: str

    @property
    def rows(self) -> dict[str, str]:
        """What is compared: names, and the weights of each."""
        return {"features only": "none", "trained": self.weights}


KINDS = {
    "mini": Kind(
        {"rfm": "mini", "semantic": "mini", "masks": "mini", "state_attention": True},
        "color",
        "mini",
    ),
    "classical": Kind({"rfm": "sensor", "semantic": "classical"}, ".", "classical"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What sees which room, and where it all goes."""
    parser.add_argument(
        "--backbones",
        choices=list(KINDS),
        default="mini",
        help="mini: images and nothing else, through the small learned backbones, masks too;"
        " classical: measured depth and poses and imitated masks, through features that nobody"
        " trained (default:"
        " %(default)s)",
    )
    parser.add_argument("--out", default="out/demo", metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--seed",
        type=at_least(0),
        default=7001,
        help="of the room; trainings used seeds under 7000, and from 10,000,000 on",
    )
    parser.add_argument("--frames", type=at_least(3), default=60, help="default: %(default)s")


def run(args: argparse.Namespace) -> None:
    """Runs the whole line; prints the scores, where the time went and where everything is."""
    from bridges.bridge import BridgeConfig, load_backbones
    from bridges.stage_times import StageTimes, timed
    from moonseg_cli.cache import cache_one
    from moonseg_cli.caching.jobs import Job
    from moonseg_cli.demo_picture import write_picture
    from moonseg_jax.cache import check_may_write

    out, kind = Path(args.out), KINDS[args.backbones]
    room, cache = out / "room", out / "cache"
    check_may_write(room)
    times = StageTimes(STAGES)
    config = BridgeConfig(**{"masks": str(room / "masks"), **kind.backbones})
    with timed("load", [times]):
        backbones = load_backbones(config)
    with timed("render", [times]):
        make_recording(room, args.seed, args.frames)
    with timed("cache", [times]):
        done = cache_one(Job("cache", str(room / kind.recording), cache, config.masks), backbones)
    scores, result = {}, out
    for row, weights in kind.rows.items():
        result = out / "rows" / row.replace(" ", "_")
        with timed("segment", [times]):
            segment(cache, result, weights)
        with timed("score", [times]):
            scores[row] = score(result, room)
    with timed("draw", [times]):
        publish(out, result, scores)
        write_picture(out / "picture.png", result, room, scores[row])
    print_scores(scores, args.frames, result, room, config.masks)
    print_times(times.seconds, done.seconds, args.frames)
    print(f"Look at {out}/picture.png and {out}/scene.ply")


def make_recording(room: Path, seed: int, frames: int) -> None:
    """Renders a room as a posed RGB-D folder with imitated 2D masks."""
    from moonseg_jax.rooms import CorruptionRates, write_room

    watch = partial(track, what="render", total=frames)
    write_room(room, seed=seed, frames=frames, rates=CorruptionRates(), watch=watch)


def segment(cache: Path, out: Path, weights: str) -> None:
    """One row."""
    from moonseg_cli.segment import segment_cache
    from moonseg_jax.weights import FOLDER

    segment_cache(cache, out, weights if weights == "none" else FOLDER / f"{weights}.safetensors")


def score(result: Path, room: Path) -> dict[str, dict[str, Any]]:
    """Metrics of a result by each association; those of the first go beside it."""
    from moonseg_cli.eval import evaluate_results
    from moonseg_jax.eval.predictions import write_metrics

    metrics = {how: evaluate_results([result], [room], association=how) for how in ASSOCIATIONS}
    write_metrics(result, metrics[ASSOCIATIONS[0]])
    return metrics


def publish(out: Path, best: Path, scores: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Puts the last row's results where the README says they are."""
    for name in ("scene.ply", "instances.npz"):
        shutil.copy(best / name, out / name)
    *_, (metrics, aligned) = (by.values() for by in scores.values())
    rows = {row: _numbers(by[ASSOCIATIONS[0]]) for row, by in scores.items()}
    everything = {**metrics, "aligned": aligned, "rows": rows}
    (out / "metrics.json").write_text(json.dumps(everything, indent=2))


def print_scores(
    scores: dict[str, dict[str, dict[str, Any]]],
    frames: int,
    result: Path,
    room: Path,
    masks: str,
) -> None:
    """AP of every row by both protocols, what masks were given, and how far geometry is off."""
    from rich.console import Console
    from rich.table import Table

    from moonseg_cli.demo_errors import reconstruction_errors
    from moonseg_jax.rooms import CorruptionRates

    title = f"an unseen room, {frames} frames"
    columns = [f"{name.upper()} {protocol}" for protocol in "AB" for name in METRICS]
    table = Table("", *columns, title=title)
    for row, by in scores.items():
        numbers = [value for metrics in by.values() for value in _numbers(metrics).values()]
        table.add_row(row, *(f"{100 * value:.1f}" for value in numbers))
    Console().print(table)
    print("A: what the frames show of each true surface; B: what is reconstructed nearest to it")
    if masks == "mini":
        print("2D masks: found in the images by the small mask network")
    else:
        rates = ", ".join(f"{name} {rate:g}" for name, rate in asdict(CorruptionRates()).items())
        print(f"2D masks: the true ones, spoiled ({rates})")
    print(reconstruction_errors(result, room))


def print_times(stages: Mapping[str, float], backbones: Mapping[str, float], frames: int) -> None:
    """Seconds of every stage; of the backbones, some of which run side by side, ms a frame."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "s", "ms a frame", title=f"{sum(stages.values()):.0f} s in all")
    for stage, spent in stages.items():
        each = "" if stage == "load" else f"{1e3 * spent / frames:.0f}"
        table.add_row(stage, f"{spent:.1f}", each)
        if stage == "cache":
            for name, own in backbones.items():
                table.add_row(f"  {name}", "", f"{1e3 * own / frames:.0f}")
    Console().print(table)


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: metrics[name] for name in METRICS}
