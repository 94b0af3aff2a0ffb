"""``manifest.json`` beside label maps: how they were made, and the scores that PNGs cannot hold.

Every field may be left out, and so may the file::

    {
      "generator": "CropFormer, Hornet-L",
      "thresholds": {"score": 0.5, "area": 400},
      "paint_order": "ascending",
      "min_area": 400,
      "scores": {"000000": {"1": 0.62, "2": 0.91}}
    }

``generator`` and ``thresholds`` are kept in the cache's provenance. ``paint_order`` is that of the
scores as ids count up: a later id was painted over an earlier one. ``ascending``, the best on top,
is how MaskClustering exports; ``descending``, the worst on top, is how OnlineAnySeg does. What was
painted over is gone, so the order does not change a mask, and a rank is no score: without
``scores`` all scores are 1. Ids of fewer than ``min_area`` pixels of their map are no masks.
``scores`` are by map (file name without ``.png``) and id; they must agree with ``paint_order``.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from moonseg_jax.structs import InputError

FILE = "manifest.json"
PAINT_ORDERS = ("", "ascending", "descending")


@dataclass(frozen=True)
class MaskManifest:
    """How a folder of label maps was made; see the module for the fields."""

    generator: str = ""
    thresholds: dict[str, float] = field(default_factory=dict)
    paint_order: str = ""
    min_area: int = 0
    scores: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def provenance(self) -> dict[str, Any]:
        """What the cache keeps of it."""
        return {
            "generator": self.generator,
            "thresholds": self.thresholds,
            "paint_order": self.paint_order,
            "min_area": self.min_area,
            "scores": bool(self.scores),
        }

    def scores_of(self, file: Path, ids: np.ndarray) -> np.ndarray:
        """Scores ``[q]`` float32 of the ids ``[q]`` of a map.

        Raises:
            InputError: there are scores, but not of one of these.
        """
        if not self.scores:
            return np.ones(len(ids), np.float32)
        scores = self.scores.get(file.stem, {})
        missing = next((i for i in ids if str(i) not in scores), None)
        if missing is not None:
            raise InputError(
                f"{file.parent / FILE} has scores, but none of id {missing} of {file.name}: add"
                f' "{file.stem}": {{"{missing}": …}}, or leave scores out.'
            )
        return np.array([scores[str(i)] for i in ids], np.float32)


def read_manifest(folder: Path) -> MaskManifest:
    """Reads a folder's manifest; the default where there is none.

    Raises:
        InputError: no JSON object, an unknown field, a value of the wrong kind, or scores that
            contradict the paint order.
    """
    path = folder / FILE
    if not path.exists():
        return MaskManifest()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}): mend or remove it.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no JSON object: it may hold {', '.join(_KINDS)}.")
    for name, value in content.items():
        if name not in _KINDS:
            raise InputError(f"{path} has an unknown field {name}: known are {', '.join(_KINDS)}.")
        said, good = _KINDS[name]
        if not good(value):
            raise InputError(f"{path} says {name} = {json.dumps(value)[:60]}: it must be {said}.")
    manifest = MaskManifest(**content)
    _check_order(path, manifest)
    return manifest


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_scores(value: Any) -> bool:
    if not isinstance(value, dict) or not all(isinstance(ids, dict) for ids in value.values()):
        return False
    items = [item for ids in value.values() for item in ids.items()]
    return all(i.isdecimal() and _is_number(score) and 0 <= score <= 1 for i, score in items)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_number(number) for number in value.values())


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "generator": ("a text", lambda value: isinstance(value, str)),
    "thresholds": ("an object of numbers", _is_numbers),
    "paint_order": ('"ascending" or "descending"', lambda value: value in PAINT_ORDERS),
    "min_area": ("a number of pixels, 0 or more", _is_count),
    "scores": ("an object of objects, map to id to score in 0..1", _is_scores),
}


def _check_order(path: Path, manifest: MaskManifest) -> None:
    """Scores must rise, or fall, as ids count up."""
    if not manifest.paint_order:
        return
    sign = 1 if manifest.paint_order == "ascending" else -1
    for name, scores in manifest.scores.items():
        ids = sorted(scores, key=int)
        steps = sign * np.diff([scores[i] for i in ids])
        if (steps < 0).any():
            first = int(np.argmax(steps < 0))
            raise InputError(
                f"{path} says paint_order = {manifest.paint_order}, but the scores of ids"
                f" {ids[first]} and {ids[first + 1]} of {name} go the other way: mend one of them,"
                " or leave paint_order out."
            )
