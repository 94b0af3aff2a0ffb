"""`moonseg sweep`: train the core several times at once, in one program."""

import argparse
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moonseg_cli.train import add_run_arguments, start

if TYPE_CHECKING:
    from moonseg_jax.train import SweepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `moonseg train`; what varies is said by the config file's ``get_sweep()``."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Trains, or goes on training, all members; then a table and their curves.

    Returns:
        0, or 1 where no member's loss is a number any more.
    """
    from moonseg_cli.configuration import apply_overrides, load_config
    from moonseg_cli.curves import draw_curves
    from moonseg_jax.train import DivergedError, is_main, read_metrics, sweep

    config = apply_overrides(load_config(args.config), args.overrides)
    changes = load_sweep(args.config, args.overrides)
    caches = start(args)
    try:
        result = sweep(config, changes, caches, args.workdir)
    except DivergedError as error:
        print(f"moonseg sweep: {error}", file=sys.stderr)
        return 1
    if is_main():
        table = member_table(result)
        (Path(args.workdir) / "table.md").write_text(table)
        curves = {m.name: read_metrics(m.workdir / "metrics.jsonl") for m in result.members}
        draw_curves(Path(args.workdir) / "curves.png", curves, ("loss", "score"))
        print(
            f"{table}\n{args.workdir}: {result.step} of {result.steps} steps; curves.png, table.md"
        )
    return 0


def load_sweep(path: str | None, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Reads ``get_sweep()``: one dict a member, of config fields by dotted name.

    Raises:
        InputError: there is none, or it returns something else, or a field that it varies is
            overridden on the command line.
    """
    from moonseg_jax.structs import InputError

    names = runpy.run_path(path) if path else {}
    if "get_sweep" not in names:
        raise InputError(
            f"config {path or 'file'} says nothing to sweep: give --config=FILE with a get_sweep() "
            'that returns one dict a member, such as [{"seed": 0}, {"seed": 1}]'
        )
    try:
        members = [dict(member) for member in names["get_sweep"]()]
    except Exception as error:
        reason = f"get_sweep() gives no list of dicts ({error})"
        raise InputError(f"config {path} cannot be used: {reason}") from error
    varied = {name for member in members for name in member}
    for word in overrides:
        name = word.removeprefix("--config.").partition("=")[0]
        if name in varied:
            raise InputError(f"{word} has no effect: get_sweep() of {path} varies {name}")
    return members


def member_table(result: "SweepResult") -> str:
    """A row a member, the best score first."""
    fields = sorted({name for member in result.members for name in member.changes})
    rows = [["member", *fields, "best score", "at step", "weights"]]
    order = sorted(result.members, key=lambda m: (m.best is None, m.best and m.best[1]))
    for member in order:
        step, score = member.best or ("-", None)
        weights = str(member.workdir / "weights.safetensors") if member.best else "-"
        if member.diverged:
            weights += f" (not finite from step {member.diverged} on)"
        changes = [str(member.changes.get(field, "")) for field in fields]
        scored = "-" if score is None else f"{score:.4f}"
        rows.append([member.name.partition(":")[0], *changes, scored, str(step), weights])
    rows.insert(1, ["---"] * len(rows[0]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
