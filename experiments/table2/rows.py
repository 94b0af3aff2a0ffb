"""The rows of the ablation, each from the one before, and how a row is run."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.dataset import add_data_flags, results_in, settings_of
from moonseg_cli.scoring import score_scenes
from moonseg_cli.segment import core_for, segment_cache
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import Dataset, SceneScore, place_of

WEIGHTS = ("refinement", "distillation", "memory")


@dataclass(frozen=True)
class Row:
    """A variant of the method.

    Attributes:
        name: in the table.
        paper: AP, AP50, AP25 on ScanNet200 in the paper, in percent.
        weights: which of `WEIGHTS` it needs; None: queries are mean features.
        fields: of the configuration that make the row.
        state: whether the term of the state distribution token is in Eq. 12.
    """

    name: str
    paper: tuple[float, float, float]
    weights: str | None = None
    fields: tuple[str, ...] = ()
    state: bool = False

    @property
    def folder(self) -> str:
        """Of its results."""
        return self.name.replace("+ ", "").replace(" ", "_")


# Source: arXiv 2512.15577, Table 2.
ROWS = {
    row.name: row
    for row in (
        Row("F2d", (7.2, 19.6, 43.7), fields=("model.sources=2d",)),
        Row("F3d", (6.4, 17.5, 41.1), fields=("model.sources=3d",)),
        Row("F2d and F3d", (8.1, 19.7, 42.3)),
        Row("+ refinement", (12.5, 27.7, 46.6), "refinement"),
        Row("+ distillation", (13.5, 29.3, 48.5), "distillation"),
        Row("+ memory", (15.9, 32.8, 49.4), "memory"),
        Row("+ state token", (16.7, 33.3, 50.0), "memory", state=True),
    )
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The scenes, and weights of the rows."""
    add_data_flags(parser)
    for name in WEIGHTS:
        parser.add_argument(f"--{name}", help=f"weights of the row '+ {name}': file or workdir")


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
        args: of `add_flags`.
        dataset: of `open_dataset`.
        fields: ``group.field=value`` on top of the row's own.
        out: folder of the results, one a scene.
    """
    checkpoint = getattr(args, row.weights) if row.weights else "none"
    for scene in dataset.scenes:
        cache = place_of(args.caches, scene.scene)
        words = overrides_of(row, checkpoint, cache, fields)
        segment_cache(cache, out / scene.scene, checkpoint, words)
    return list(score_scenes(results_in(out, dataset).scenes, settings_of(args), args.workers))


def overrides_of(row: Row, checkpoint: str, cache: Path, fields: Sequence[str]) -> list[str]:
    """The words that make the row of whatever settings its weights bring."""
    words = [f"--config.{field}" for field in (*row.fields, *fields)]
    config = core_for(checkpoint, CacheReader(cache).info, words).config
    terms = [term for term in config.online.terms.split(",") if term != "state"]
    return [*words, f"--config.online.terms={','.join(terms + ['state'] * row.state)}"]
