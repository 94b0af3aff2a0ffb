"""Training state on disk: the best and the last checkpoint, written in the background."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from moonseg_jax.train.processes import check_shared, fetch


@dataclass(frozen=True)
class Checkpoint:
    """What a run resumes from.

    Attributes:
        step: steps done.
        state: a `TrainState` or a `SweepState`; as NumPy arrays, so that any number of devices can
            take it up.
        loader: the loader's own state.
    """

    step: int
    state: Any
    loader: dict[str, Any]


class Checkpoints:
    """The best and the last checkpoint under a directory (Orbax).

    Args:
        directory: of the checkpoints.
        keep_best: False keeps the last one only.
    """

    def __init__(self, directory: Path, keep_best: bool = True):
        policies: list[checkpoint_managers.PreservationPolicy] = [checkpoint_managers.LatestN(1)]
        if keep_best:
            policies.append(
                checkpoint_managers.BestN(
                    get_metric_fn=_score, reverse=True, n=1, keep_checkpoints_without_metrics=False
                )
            )
        self._manager = ocp.CheckpointManager(
            directory.absolute(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
                best_fn=_score if keep_best else None,
                best_mode="min",
                cleanup_tmp_directories=True,
            ),
        )

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and score of the best checkpoint."""
        step = self._manager.best_step()
        metrics = None if step is None else self._manager.metrics(step)
        return None if step is None or metrics is None else (step, _score(metrics))

    def save(self, checkpoint: Checkpoint, score: float | None) -> None:
        """Starts writing; returns as soon as the state is safe from the next step.

        Args:
            checkpoint: with the state on the devices or the host.
            score: lower is better; None keeps it out of the competition for the best.
        """
        # A copy, not a view: the next step takes over the buffers of the state.
        host = fetch(checkpoint.state)
        self._manager.save(
            checkpoint.step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(host), loader=ocp.args.JsonSave(checkpoint.loader)
            ),
            metrics=None if score is None else {"score": score},
        )

    def restore(self, like: Any) -> Checkpoint | None:
        """Reads the last checkpoint.

        Args:
            like: a state of the same tree, shapes and dtypes.

        Returns:
            None where there is no checkpoint yet.

        Raises:
            InputError: where several processes do not see the same one.
        """
        step = self._manager.latest_step()
        check_shared(step or 0, str(self._manager.directory))
        if step is None:
            return None
        abstract = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract), loader=ocp.args.JsonRestore()
            ),
        )
        return Checkpoint(step, restored["state"], restored["loader"])

    def close(self) -> None:
        """Waits until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def _score(metrics: dict[str, float]) -> float:
    return metrics["score"]
