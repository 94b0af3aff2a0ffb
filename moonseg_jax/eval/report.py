"""The numbers for people: a line a scene, one for all, the paper's, and how they were made."""

from typing import Any

from moonseg_jax.eval.datasets import Dataset
from moonseg_jax.eval.protocols import departures
from moonseg_jax.eval.settings import EvalSettings

AP_NAMES = ("ap", "ap50", "ap25")
# What a result tells of how it was made, as `score_scene` records it.
_MADE = {
    "stride": "stride",
    "geometry": "geometry",
    "poses": "poses",
    "semantics": "features",
    "masks": "masks",
    "checkpoint": "weights",
    "min_observations": "least observations",
}
_NAMED = 5  # So many scenes are named.


def describe_dataset(
    dataset: Dataset, settings: EvalSettings, metrics: dict[str, Any]
) -> dict[str, Any]:
    """What a number of a whole data set has to say about itself beyond `pool_scores`.

    Returns:
        JSON-serialisable: ``protocol``, ``scenes`` (how many count) and ``chosen_by``, ``missing``
        (names) and ``missing_rule``, ``unlisted`` (predictions of no scene here), ``paper`` (the
        figures of MoonSeg3R in its paper, or None) and ``departures`` (why the two cannot be
        compared).
    """
    return {
        "protocol": dataset.protocol.name,
        "scenes": len(dataset.scenes),
        "chosen_by": dataset.chosen_by,
        "missing": list(dataset.missing),
        "missing_rule": dataset.missing_rule,
        "unlisted": list(dataset.unlisted),
        "paper": dataset.protocol.paper,
        "departures": departures(dataset.protocol, settings, metrics["scenes"]),
    }


def format_metrics(metrics: dict[str, Any]) -> str:
    """The table of one scene, of several, or of a data set with the paper's row beside ours."""
    scenes, dataset = metrics["scenes"], metrics.get("dataset")
    width = max(len("MoonSeg3R (paper)"), *(len(scene["scene"]) for scene in scenes))
    lines = [f"{'':{width}}     AP   AP50   AP25 | ranked: AP   AP50   AP25 | instances gt pred"]
    lines += [f"{scene['scene']:{width}} {_row(scene)}{_counts(scene)}" for scene in scenes]
    if len(scenes) > 1 or dataset:
        total = {n: sum(s[n] for s in scenes) for n in ("gt_instances", "pred_instances")}
        lines.append(f"{'all scenes':{width}} {_row(metrics)}{_counts(total)}")
    if dataset and dataset["paper"]:
        lines.append(f"{'MoonSeg3R (paper)':{width}} {_three(dataset['paper'])} |")
    return "\n".join(lines + definition_of(metrics))


def definition_of(metrics: dict[str, Any]) -> list[str]:
    """All that another number must have in common with these to be compared, a line each."""
    thresholds, dataset = metrics["thresholds"], metrics.get("dataset")
    return [
        f"protocol {metrics['protocol']}, gt mode {metrics['gt_mode']}, "
        f"IoU {thresholds[0]:.2f}-{thresholds[-1]:.2f} ({len(thresholds)} thresholds), at least "
        f"{metrics['min_vertices']} vertices; the first three columns score every prediction 1.0",
        f"association: {metrics['association']}",
        f"void: {metrics['void']}; and instances too small: a prediction that matches nothing is "
        "ignored where more than the threshold's share of it is void",
        f"results: {_made(metrics['scenes'])}",
        *(_of_dataset(dataset) if dataset else []),
    ]


def _made(scenes: list[dict[str, Any]]) -> str:
    """What was segmented, and with what; scenes that differ are told apart by commas."""
    values = {
        name: {str(scene[key]) for scene in scenes if scene.get(key) is not None}
        for key, name in _MADE.items()
    }
    told = [f"{name} {', '.join(sorted(found))}" for name, found in values.items() if found]
    return "; ".join(told) or "they do not say how they were made"


def _of_dataset(dataset: dict[str, Any]) -> list[str]:
    rule = {"empty": "counted as nothing found", "skip": "left out"}.get(dataset["missing_rule"])
    lines = [
        f"{dataset['protocol']}: {dataset['scenes']} scenes ({dataset['chosen_by']}), pooled; "
        + (f"{_some(dataset['missing'])} without predictions, {rule}" if rule else "none missing")
    ]
    if dataset["unlisted"]:
        lines.append(f"predictions of no scene here: {_some(dataset['unlisted'])}")
    if dataset["departures"]:
        lines.append(f"not comparable with the paper: {'; '.join(dataset['departures'])}")
    return lines


def _some(names: list[str]) -> str:
    shown = f" ({', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''})"
    return f"{len(names)}{shown if names else ''}"


def _row(numbers: dict[str, Any]) -> str:
    return f"{_three(numbers)} |      {_three(numbers['ranked'])}"


def _three(numbers: dict[str, Any]) -> str:
    values = [numbers[name] for name in AP_NAMES]
    return " ".join("     -" if v is None else f"{100 * v:6.1f}" for v in values)


def _counts(record: dict[str, Any]) -> str:
    return f" | {record['gt_instances']:12d} {record['pred_instances']:4d}"
