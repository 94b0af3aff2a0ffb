"""Table 1 as text: a row a method, the paper's figures beside it, and what defines the numbers."""

from collections.abc import Sequence
from typing import Any

from experiments.dataset import definition_below
from experiments.table1.paper import PAPER

HEADER = ("", "AP", "AP50", "AP25", "AP ranked", "ms/frame", "MB", "time ×{0}", "MB ×{0}")
PAPERS = ("paper: AP / AP50 / AP25", "paper: ms/frame")


def format_table(table: dict[str, Any]) -> str:
    """Markdown.

    Args:
        table: ``rows`` by name, each with ``title``, costs and metrics; ``dataset``; ``turns`` and
            ``clock`` of the costs.
    """
    protocol = table["dataset"]["protocol"] if table["dataset"]["paper"] else None
    head = [name.format(table["turns"]) for name in HEADER] + list(PAPERS if protocol else ())
    lines = [_line(head), _line(["---"] * len(head))]
    for row in table["rows"].values():
        lines.append(_line(_cells(row) + (_papers(row["title"], protocol) if protocol else [])))
    rows = list(table["rows"].values())
    lines += definition_below(rows, table["dataset"])
    lines += [
        f"- imported, not run here: {row['title']} ({row['association']})"
        for row in rows
        if "ms_per_frame" not in row
    ]
    lines.append(f"- {table['clock']} clock; ×{table['turns']}: the last scene played as often")
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any]) -> list[str]:
    aps = [row["ap"], row["ap50"], row["ap25"], row["ranked"]["ap"]]
    numbers = ["-" if ap is None else f"{100 * ap:.1f}" for ap in aps]
    if "ms_per_frame" not in row:
        return [row["title"], *numbers, "-", "-", "-", "-"]
    costs = [f"{row['ms_per_frame']:.1f}", f"{row['megabytes']:.1f}"]
    growth = [f"{row[name]:.2f}" for name in ("time_growth", "memory_growth")]
    return [row["title"], *numbers, *costs, *growth]


def _papers(title: str, protocol: str) -> list[str]:
    paper = PAPER.get(title)
    if paper is None:
        return ["-", "-"]
    took = "-" if paper.milliseconds is None else f"{paper.milliseconds:g}"
    return [" / ".join(f"{ap:.1f}" for ap in paper.figures[protocol]), took]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
