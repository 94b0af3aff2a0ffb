"""The scenes of a data set, and where each one's result, ground truth and recording lie."""

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moonseg_jax.eval.ground_truth import find_truth
from moonseg_jax.eval.protocols import Protocol
from moonseg_jax.structs import InputError

SCENE = "{scene}"
MISSING = ("refuse", "empty", "skip")
_NAMED = 5  # So many scenes of a list are named in a message.


@dataclass(frozen=True)
class SceneFiles:
    """Where one scene lies.

    Attributes:
        scene: its name.
        predictions: a predictions folder or an npz; None: there is none, and it counts as empty.
        ground_truth: what `load_ground_truth` takes.
        recording: a folder or a ``.sens`` file; None: none was named.
    """

    scene: str
    predictions: Path | None
    ground_truth: Path
    recording: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """The scenes that one number is made of.

    Attributes:
        protocol: which data set.
        scenes: those that count, in order.
        chosen_by: what named them, for people.
        missing: names of scenes without predictions.
        missing_rule: one of `MISSING`, what was done about them.
        unlisted: names of predictions that are none of the scenes.
    """

    protocol: Protocol
    scenes: tuple[SceneFiles, ...]
    chosen_by: str
    missing: tuple[str, ...]
    missing_rule: str
    unlisted: tuple[str, ...]


def find_dataset(
    protocol: Protocol,
    predictions: str | Path,
    ground_truth: str | Path,
    recordings: str | Path | None = None,
    *,
    listed: Path | None = None,
    missing: str = "refuse",
) -> Dataset:
    """Finds the files of every scene; opens none of them.

    Args:
        protocol: the data set.
        predictions: root with ``<scene>/`` (a predictions folder) or ``<scene>.npz``; or a path
            with ``{scene}`` where the scene's name stands.
        ground_truth: root with ``<scene>/`` or ``<scene>.txt`` and the like, or such a path.
        recordings: root with ``<scene>/`` or ``<scene>.sens``, or such a path; None: none.
        listed: file with one scene a line; None: the protocol's scenes or, where it names none,
            those with ground truth.
        missing: what to do about scenes without predictions: ``refuse`` them, count them as
            ``empty``, or ``skip`` them.

    Raises:
        InputError: no scenes, or ground truth, recordings or predictions are missing.
    """
    names, chosen_by = _choose_scenes(protocol, ground_truth, listed)
    results = {name: _at(predictions, name, (".npz",)) for name in names}
    absent = tuple(name for name in names if results[name] is None)
    if len(absent) == len(names):
        raise InputError(
            f"{predictions} has predictions of none of the {len(names)} scenes (first: {names[0]}):"
            " give the folder that holds a result, or an npz, by the name of each scene"
        )
    if missing == "refuse":
        remedy = "segment them, or say --missing=empty (nothing found) or skip (left out)"
        _all_there(results, "predictions", predictions, remedy)
    kept = [name for name in names if missing != "skip" or name not in absent]
    truths = _all_there(
        {name: _truth_at(ground_truth, name, protocol) for name in kept},
        "ground truth", ground_truth, "correct --ground-truth, or list other scenes with --scenes",
    )  # fmt: skip
    sources: dict[str, Path] = {}
    if recordings is not None:
        found = {name: _at(recordings, name, (".sens",)) for name in kept}
        sources = _all_there(found, "recording", recordings, "correct --recording")
    scenes = (SceneFiles(name, results[name], truths[name], sources.get(name)) for name in kept)
    unlisted = set(_names_at(predictions, (".npz",))) - set(names)
    return Dataset(protocol, tuple(scenes), chosen_by, absent, missing, _sorted(unlisted))


def place_of(where: str | Path, scene: str) -> Path:
    """Where a root, or a path with ``{scene}``, has one scene."""
    return Path(_pattern(where).replace(SCENE, scene))


def read_scene_list(file: Path) -> tuple[str, ...]:
    """Scene names, one a line; ``#`` starts a comment."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as a list of scenes: one name a line") from error
    names = [line.split("#")[0].strip() for line in lines]
    return tuple(dict.fromkeys(name for name in names if name))


def _choose_scenes(
    protocol: Protocol, ground_truth: str | Path, listed: Path | None
) -> tuple[tuple[str, ...], str]:
    if listed is not None:
        names, chosen_by = read_scene_list(listed), str(listed)
    elif protocol.scenes:
        return protocol.scenes, "the paper's"
    else:
        found = _names_at(ground_truth, protocol.truth_suffixes)
        fitting = (name for name in found if re.fullmatch(protocol.scene_name, name))
        names = _sorted(n for n in fitting if _truth_at(ground_truth, n, protocol))
        chosen_by = f"those with ground truth in {ground_truth}"
    if not names:
        where = listed or ground_truth
        raise InputError(
            f"{where} names no scene of --protocol={protocol.name}: give the folder that holds a"
            f" folder (or {' '.join(protocol.truth_suffixes)} file) with ground truth for each"
            " scene, or a list of names with --scenes"
        )
    return names, chosen_by


def _truth_at(where: str | Path, scene: str, protocol: Protocol) -> Path | None:
    place = _at(where, scene, protocol.truth_suffixes)
    if place is None or place.is_file() or find_truth(place):
        return place
    return None


def _at(where: str | Path, scene: str, suffixes: Sequence[str]) -> Path | None:
    place = place_of(where, scene)
    files = (place.with_name(place.name + suffix) for suffix in suffixes)
    return next((path for path in (place, *files) if path.exists()), None)


def _names_at(where: str | Path, suffixes: Sequence[str]) -> list[str]:
    """What stands for ``{scene}`` in the paths that are there."""
    names = []
    for suffix in ("", *suffixes):
        path = _pattern(where) + suffix
        expression = re.escape(path).replace(re.escape(SCENE), "(?P<scene>[^/]+)", 1)
        expression = expression.replace(re.escape(SCENE), "(?P=scene)")
        found = glob.glob(glob.escape(path).replace(SCENE, "*"))
        # Below a root, what has no suffix is a folder; a path with {scene} names what it means.
        wanted = (f for f in found if suffix or SCENE in str(where) or Path(f).is_dir())
        names += [match["scene"] for file in wanted if (match := re.fullmatch(expression, file))]
    return names


def _pattern(where: str | Path) -> str:
    text = str(where)
    return text if SCENE in text else str(Path(text) / SCENE)


def _all_there(
    found: dict[str, Path | None], what: str, where: str | Path, remedy: str
) -> dict[str, Path]:
    there = {name: path for name, path in found.items() if path is not None}
    gaps = [name for name in found if name not in there]
    if gaps:
        more = f" and {len(gaps) - _NAMED} more" if len(gaps) > _NAMED else ""
        raise InputError(
            f"{where} has no {what} for {len(gaps)} of {len(found)} scenes"
            f" ({', '.join(gaps[:_NAMED])}{more}): {remedy}"
        )
    return there


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
