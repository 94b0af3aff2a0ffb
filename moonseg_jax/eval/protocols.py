"""The data sets of the paper's tables: which scenes, which frames, and the paper's figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moonseg_jax.eval.settings import EvalSettings


@dataclass(frozen=True)
class Protocol:
    """What makes a number one of a data set.

    Attributes:
        name: on the command line.
        scene_name: regular expression of its scenes' names.
        truth_suffixes: of ground truth that lies as files, ``ROOT/<scene>.txt``, not in folders.
        scenes: its scenes, where no list is given; empty: those with ground truth.
        count: how many scenes the paper's number is of; None: the paper has none.
        stride: every how many frames the paper takes one.
        paper: AP, AP50, AP25 of MoonSeg3R in the paper, in 0..1.
    """

    name: str
    scene_name: str
    truth_suffixes: tuple[str, ...]
    scenes: tuple[str, ...] = ()
    count: int | None = None
    stride: int | None = None
    paper: dict[str, float] | None = None


_SCENENN = (
    "005", "011", "015", "030", "054", "080", "089", "093", "096", "243", "263", "322",
)  # fmt: skip
# Source: arXiv 2512.15577, results; OnlineAnySeg for the scenes of SceneNN.
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="scannet200",
            scene_name=r"scene\d{4}_\d{2}",
            truth_suffixes=(".txt", ".npz"),
            count=312,
            stride=10,
            paper={"ap": 0.167, "ap50": 0.333, "ap25": 0.500},
        ),
        Protocol(
            name="scenenn",
            scene_name=r"\d{3}",
            truth_suffixes=(".xml", ".txt", ".npz"),
            scenes=_SCENENN,
            count=12,
            stride=20,
            paper={"ap": 0.143, "ap50": 0.314, "ap25": 0.484},
        ),
        Protocol(name="folder", scene_name=r"[^/]+", truth_suffixes=(".npz",)),
    )
}
_PAPER_SETTINGS = EvalSettings()
_PAPER_GEOMETRY = "cut3r"


def departures(
    protocol: Protocol, settings: EvalSettings, scenes: Sequence[dict[str, Any]]
) -> list[str]:
    """What keeps a number from standing beside the paper's, in words.

    The paper names neither ground-truth mode nor evaluator; it is taken to use the one of
    OnlineAnySeg, which it compares itself with.

    Args:
        protocol: the data set.
        settings: how it was scored.
        scenes: the records of the scenes that count.
    """
    if protocol.paper is None:
        return []
    found = []
    if len(scenes) != protocol.count:
        found.append(f"{len(scenes)} scenes, not {protocol.count}")
    for name in ("gt_mode", "association", "thresholds", "min_vertices"):
        mine, theirs = getattr(settings, name), getattr(_PAPER_SETTINGS, name)
        if mine != theirs:
            found.append(f"{name.replace('_', ' ')} {mine}, not {theirs}")
    strides = {scene["stride"] for scene in scenes if "stride" in scene} - {protocol.stride}
    if strides:
        found.append(f"stride {_listed(strides)}, not {protocol.stride}")
    geometry = {scene["geometry"] for scene in scenes if "geometry" in scene} - {_PAPER_GEOMETRY}
    if geometry:
        found.append(f"geometry {_listed(geometry)}, not predicted by {_PAPER_GEOMETRY}")
    return found


def _listed(values: set[Any]) -> str:
    return ", ".join(map(str, sorted(values)))
