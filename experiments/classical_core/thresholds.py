"""AP for every pair of thresholds, over scenes together: how the defaults were chosen.

    python -m experiments.classical_core.thresholds --recordings ROOM [ROOM ...] \
        --caches CACHE [CACHE ...] --checkpoints none FILE --merge 0.6 0.7 --match 0.6 0.7 0.8

Choose on rooms that nothing is reported on. Protocol A, constant scores, mode `onlineanyseg`.
"""

import argparse
import json
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import jax

from moonseg_cli.runtime import enable_compilation_cache
from moonseg_jax import LoadedCore, load_core
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import average_precision, count_overlaps, load_ground_truth
from moonseg_jax.eval.associate import unproject_instances
from moonseg_jax.eval.ground_truth import GroundTruth
from moonseg_jax.eval.overlaps import SceneOverlaps
from moonseg_jax.eval.views import measured_views
from moonseg_jax.online import OnlineLoop, SceneResult
from moonseg_jax.structs import Frame, SceneInfo


@dataclass(frozen=True)
class Room:
    """A scene in memory, with what it is scored against."""

    info: SceneInfo
    frames: list[Frame]
    truth: GroundTruth
    views: list

    @classmethod
    def read(cls, recording: Path, cache: Path) -> "Room":
        """All of its frames: half a megabyte each with classical features."""
        reader, truth = CacheReader(cache), load_ground_truth(recording, "onlineanyseg")
        result = SimpleNamespace(info=reader.info, cache=cache, path=cache)
        views = list(measured_views(result, None))  # By the cache's own poses and depth.
        return cls(reader.info, list(reader.frames()), truth, views)

    def overlaps(self, loop: OnlineLoop, core: LoadedCore) -> SceneOverlaps:
        """What the loop finds, from an empty memory on."""
        result = SceneResult(core.config)
        for frame in self.frames:
            result.add(frame, loop.step(frame))
        scene = result.finish(loop.state)
        maps = list(scene.label_maps())
        points, size = self.truth.require_points(), self.info.image_size
        labels = unproject_instances(points, self.views, lambda i: maps[i], size)
        return count_overlaps(self.truth.instance, labels, scene.scores)


def with_thresholds(core: LoadedCore, merge: float, match: float) -> LoadedCore:
    config = core.config.copy_and_resolve_references()
    config.online.merge_threshold, config.online.match_threshold = merge, match
    return replace(core, config=config)


def score(rooms: list[Room], core: LoadedCore) -> dict[str, float]:
    """Over all rooms; the step is compiled once."""
    loop = OnlineLoop(core.graphdef, core.params, rooms[0].info, core.config)
    empty, overlaps = jax.device_get(loop.state), []
    for room in rooms:
        loop.state = jax.device_put(empty)
        overlaps.append(room.overlaps(loop, core))
    return average_precision(overlaps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", nargs="+", type=Path, required=True)
    parser.add_argument("--caches", nargs="+", type=Path, required=True)
    parser.add_argument("--checkpoints", nargs="+", required=True)
    parser.add_argument("--merge", nargs="+", type=float, required=True)
    parser.add_argument("--match", nargs="+", type=float, required=True)
    parser.add_argument("--json", type=Path, help="file to write the table to")
    args = parser.parse_args()

    enable_compilation_cache()
    rooms = [Room.read(*pair) for pair in zip(args.recordings, args.caches, strict=True)]
    table = []
    for checkpoint in args.checkpoints:
        loaded = load_core(rooms[0].info, checkpoint)
        for merge, match in product(args.merge, args.match):
            core = with_thresholds(loaded, merge, match)
            scores = score(rooms, core)
            table.append({"checkpoint": checkpoint, "merge": merge, "match": match, **scores})
            told = " ".join(f"{100 * scores[name]:5.1f}" for name in ("ap", "ap50", "ap25"))
            print(f"{checkpoint[-40:]:42}{merge:5.2f}{match:5.2f}  {told}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
