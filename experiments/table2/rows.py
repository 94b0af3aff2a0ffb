"""The rows of the ablation, each from the one before, and how a row is run."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.dataset import add_data_flags
from moonseg_cli.segment import core_for
from moonseg_jax import LoadedCore, segment
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import Dataset, place_of, read_predictions, write_predictions
from moonseg_jax.structs import InputError, SceneInfo

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
        parser.add_argument(
            f"--{name}",
            nargs="+",
            default=[],
            metavar="W",
            help=f"weights of the row '+ {name}', one for each seed of training: files or workdirs",
        )


def info_of(args: argparse.Namespace, dataset: Dataset) -> SceneInfo:
    """Of the first cache: what all of them have in common."""
    return CacheReader(place_of(args.caches, dataset.scenes[0].scene)).info


def why_not(row: Row, args: argparse.Namespace, info: SceneInfo) -> str | None:
    """Why a row cannot be run; None where it can."""
    if row.weights and not getattr(args, row.weights):
        return f"no weights given (--{row.weights})"
    if row.state and info.state_tokens == 0:
        return "the caches hold no state attention"
    return None


def weights_of(row: Row, args: argparse.Namespace) -> list[str]:
    """Of each training; of a row without any, ``none``."""
    return getattr(args, row.weights) if row.weights else ["none"]


def run_row(
    row: Row, args: argparse.Namespace, dataset: Dataset, fields: Sequence[str], out: Path
) -> list[Path]:
    """Segments every cache, once for each training; what is there already is left.

    Args:
        row: what to run.
        args: of `add_flags`.
        dataset: of `open_dataset`.
        fields: ``group.field=value`` on top of the row's own.
        out: folder of the results, one a scene; of several trainings ``1/``, ``2/``, ... in it.

    Returns:
        The folder of results of each training.
    """
    trainings = weights_of(row, args)
    single = len(trainings) == 1
    folders = [out if single else out / str(i) for i in range(1, len(trainings) + 1)]
    for weights, folder in zip(trainings, folders, strict=True):
        for scene in dataset.scenes:
            reader, result = CacheReader(place_of(args.caches, scene.scene)), folder / scene.scene
            core = core_of(row, weights, reader.info, fields)
            if not is_done(result, core, reader.path):
                config, found = core.config.to_dict(), segment(reader, core)
                write_predictions(result, found, reader, config=config, checkpoint=core.origin)
            reader.close()
    return folders


def core_of(row: Row, weights: str, info: SceneInfo, fields: Sequence[str]) -> LoadedCore:
    """The core of a row, with whatever settings its weights bring below the row's own."""
    core = core_for(weights, info, [f"--config.{field}" for field in (*row.fields, *fields)])
    terms = [term for term in core.config.online.terms.split(",") if term != "state"]
    core.config.online.terms = ",".join(terms + ["state"] * row.state)
    return core


def is_done(result: Path, core: LoadedCore, cache: Path) -> bool:
    """Whether a result is of this core and this cache, and newer than both."""
    try:
        made = read_predictions(result)
    except InputError:
        return False
    if (made.config, made.checkpoint) != (core.config.to_dict(), core.origin):
        return False
    sources = [cache / "manifest.json", Path(core.origin)]
    written = (result / "result.json").stat().st_mtime
    older = all(path.stat().st_mtime <= written for path in sources if path.exists())
    return older and made.cache == str(cache.resolve())
