"""The rows of the ablation, each from the one before, and how a row is run."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moonseg_cli.scoring import score_scenes
from moonseg_cli.segment import core_for, segment_cache
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import (
    PROTOCOLS,
    Dataset,
    EvalSettings,
    SceneScore,
    find_dataset,
    place_of,
)

WEIGHTS = ("refinement", "distillation", "memory")


@dataclass(frozen=True)
class Row:
    """A variant of the method.

    Attributes:
        name: in the table.
        paper: AP on ScanNet200 in the paper, in 0..1.
        weights: which of `WEIGHTS` it needs; None: queries are mean features.
        fields: of the configuration that make the row.
        state: whether the term of the state distribution token is in Eq. 12.
    """

    name: str
    paper: float
    weights: str | None = None
    fields: tuple[str, ...] = ()
    state: bool = False

    @property
    def folder(self) -> str:
        """Of its results."""
        return self.name.replace("+ ", "").replace(" ", "_")


ROWS = {
    row.name: row
    for row in (
        Row("F2d", 0.072, fields=("model.sources=2d",)),
        Row("F3d", 0.064, fields=("model.sources=3d",)),
        Row("F2d and F3d", 0.081),
        Row("+ refinement", 0.125, "refinement"),
        Row("+ distillation", 0.135, "distillation"),
        Row("+ memory", 0.159, "memory"),
        Row("+ state token", 0.167, "memory", state=True),
    )
}


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Paths and definition of the numbers, as `moonseg eval` has them."""
    parser.add_argument("--protocol", default="folder", choices=list(PROTOCOLS))
    parser.add_argument("--caches", required=True, help="root, or a path with {scene}")
    parser.add_argument("--ground-truth", required=True, help="root, or a path with {scene}")
    parser.add_argument("--recordings", help="root, or a path with {scene}")
    parser.add_argument("--scenes", type=Path, help="file with a scene a line")
    parser.add_argument("--gt-mode", default="onlineanyseg")
    parser.add_argument("--association", default="gt", choices=["gt", "sim3"])
    parser.add_argument("--workers", type=int, default=0, help="processes that score")
    for name in WEIGHTS:
        parser.add_argument(f"--{name}", help=f"weights of the row '+ {name}': file or workdir")


def open_dataset(args: argparse.Namespace) -> Dataset:
    """The scenes, all with caches; results take the caches' place later."""
    places = args.caches, args.ground_truth, args.recordings
    return find_dataset(PROTOCOLS[args.protocol], *places, listed=args.scenes)


def settings_of(args: argparse.Namespace) -> EvalSettings:
    """How results are scored."""
    return EvalSettings(args.gt_mode, args.association)


def why_not(row: Row, args: argparse.Namespace, dataset: Dataset) -> str | None:
    """Why a row cannot be run; None where it can."""
    if row.weights and not getattr(args, row.weights):
        return f"no weights given (--{row.weights})"
    first = CacheReader(place_of(args.caches, dataset.scenes[0].scene))
    if row.state and first.info.state_tokens == 0:
        return "the caches hold no state attention"
    return None


def run_row(
    row: Row, args: argparse.Namespace, dataset: Dataset, fields: Sequence[str], out: Path
) -> list[SceneScore]:
    """Segments every cache and scores the results.

    Args:
        row: what to run.
        args: of `add_data_flags`.
        dataset: of `open_dataset`.
        fields: ``group.field=value`` on top of the row's own.
        out: folder of the results, one a scene.
    """
    checkpoint = getattr(args, row.weights) if row.weights else "none"
    results = []
    for scene in dataset.scenes:
        cache = place_of(args.caches, scene.scene)
        words = overrides_of(row, checkpoint, cache, fields)
        segment_cache(cache, out / scene.scene, checkpoint, words)
        results.append(replace(scene, predictions=out / scene.scene))
    return list(score_scenes(results, settings_of(args), args.workers))


def overrides_of(row: Row, checkpoint: str, cache: Path, fields: Sequence[str]) -> list[str]:
    """The words that make the row of whatever settings its weights bring."""
    words = [f"--config.{field}" for field in (*row.fields, *fields)]
    config = core_for(checkpoint, CacheReader(cache).info, words).config
    terms = [term for term in config.online.terms.split(",") if term != "state"]
    return [*words, f"--config.online.terms={','.join(terms + ['state'] * row.state)}"]
