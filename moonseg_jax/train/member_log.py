"""What a sweep writes of each of its members, as a run by itself writes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moonseg_jax.models.weights import save_weights, weights_metadata
from moonseg_jax.structs import SceneInfo
from moonseg_jax.train.members import Members
from moonseg_jax.train.metrics import MetricsFile, read_metrics
from moonseg_jax.train.processes import is_main
from moonseg_jax.train.workdir import Workdir


class MemberLog:
    """``metrics.jsonl`` and ``weights.safetensors`` of one member.

    Args:
        sweep: folder of the sweep; the member's is ``members/INDEX`` in it.
        members: of the sweep.
        index: of this one.
        info: what the caches have in common.
        step: to go on from; later lines of a run cut short are dropped.

    Attributes:
        files: paths of the member.
        best: step and score of the weights; None before the first checkpoint.
    """

    def __init__(self, sweep: Path, members: Members, index: int, info: SceneInfo, step: int):
        self.files = Workdir(sweep / "members" / str(index))
        self._members, self._index, self._info = members, index, info
        if is_main():
            self.files.path.mkdir(parents=True, exist_ok=True)
        self._metrics = MetricsFile(self.files.metrics, step)
        scored = [line for line in read_metrics(self.files.metrics) if "score" in line]
        best = min(((line["score"], line["step"]) for line in scored), default=None)
        self.best: tuple[int, float] | None = best and (best[1], best[0])

    def write(self, step: int, metrics: Mapping[str, float], params: Any) -> None:
        """Appends a line, and keeps the parameters where its ``score`` is the best so far.

        Args:
            step: steps done.
            metrics: of the member.
            params: ``[k ...]`` of all members; only looked at where there is a score, and then on
                the host.
        """
        self._metrics.write(step, metrics)
        score = metrics.get("score")
        if score is None or (self.best is not None and score >= self.best[1]):
            return
        self.best = step, score
        config = self._members.configs[self._index]
        told = weights_metadata(
            config.model, self._info, step=step, score=score, recipe=config.to_dict()
        )
        if is_main():
            own = self._members.own_params(params, self._index, self._info)
            save_weights(self.files.weights, own, told)
