"""Everything a user may choose that changes the numbers."""

from dataclasses import dataclass

from moonseg_jax.eval.ap import THRESHOLDS
from moonseg_jax.eval.associate import ASSOCIATIONS
from moonseg_jax.eval.ground_truth import GT_MODES
from moonseg_jax.eval.overlaps import MIN_VERTICES
from moonseg_jax.structs import InputError


@dataclass(frozen=True)
class EvalSettings:
    """How results are scored.

    Attributes:
        gt_mode: which instances count, as in `counted_instances`.
        association: how a predictions folder reaches the vertices, as in `associate`; masks over
            the vertices are on them already.
        thresholds: ``nine`` or ``ten``, as in `average_precision`.
        min_vertices: smaller instances and predictions do not count.
        icp: refine the similarity of ``sim3`` or ``cameras`` on the points.

    Raises:
        InputError: a word that no code knows.
    """

    gt_mode: str = "onlineanyseg"
    association: str = "gt"
    thresholds: str = "nine"
    min_vertices: int = MIN_VERTICES
    icp: bool = False

    def __post_init__(self) -> None:
        _check_choice("gt-mode", self.gt_mode, GT_MODES)
        _check_choice("association", self.association, ASSOCIATIONS)
        _check_choice("thresholds", self.thresholds, tuple(THRESHOLDS))


def _check_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"--{flag} {value} is unknown: choose from {', '.join(choices)}")
