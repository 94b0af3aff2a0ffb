"""CUT3R's speeds as Markdown tables."""

from typing import Any


def summary(report: dict[str, Any]) -> str:
    """Of what `cut3r_speed` reports: times, then errors."""
    flop = ", ".join(f"{stage} {n / 1e12:.3f}" for stage, n in report["flop"].items())
    lines = [f"\n{report['device']}, torch {report['torch']}, {report['variant']} {report['size']}"]
    lines += [
        f"TFLOP a frame: {flop}",
        "",
        "| what | precision | mode | ms | p95 | floor | frames/s |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for row in report["rows"]:
        what = row.get("stage", row["what"]) + (f" ×{row['batch']}" if "batch" in row else "")
        cells = [what, row.get("precision", "bf16+fp16"), row["mode"]]
        cells += [_shown(row.get(name)) for name in ("median_ms", "p95_ms", "floor", "per_second")]
        lines.append(
            "| "
            + " | ".join([*cells[:3], *(["error"] * 4 if "error" in row else cells[3:])])
            + " |"
        )
    lines += [
        "",
        "| error against float32, mean (worst) | " + " | ".join(_errors_header(report)) + " |",
    ]
    lines += _error_lines(report)
    return "\n".join(lines)


def _errors_header(report: dict[str, Any]) -> list[str]:
    return [f"{r['precision']} {r['mode']}" for r in report["rows"] if "errors" in r]


def _error_lines(report: dict[str, Any]) -> list[str]:
    runs = [row["errors"] for row in report["rows"] if "errors" in row]
    lines = ["|---" * (len(runs) + 1) + "|"]
    for name in runs[0] if runs else ():
        cells = [f"{r[name]['mean']:.1e} ({r[name]['worst']:.1e})" for r in runs]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
