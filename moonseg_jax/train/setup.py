"""All that a run is made of. What can be refused is refused here, before its folder is touched."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from moonseg_jax.config import check_choices
from moonseg_jax.data import ClipLoader, make_loader
from moonseg_jax.models import Core, split_core
from moonseg_jax.structs import Frame, SceneInfo
from moonseg_jax.train.augment import cut_masks, jitter_features
from moonseg_jax.train.evaluate import held_out_loss
from moonseg_jax.train.optimizer import cosine_schedule, make_optimizer
from moonseg_jax.train.scenes import Scene, hold_out, read_scenes
from moonseg_jax.train.step import (
    Augment,
    Metrics,
    TrainState,
    batch_loss,
    compile_augment,
    compile_step,
    init_state,
)


@dataclass(frozen=True)
class Setup:
    """A run before its first step.

    Attributes:
        scenes: all of them, held-out ones included.
        loader: of the training scenes, at its first batch.
        steps: of the whole run.
        state: before the first step.
        train_step: compiled on its first call; takes over the state it is given.
        judge: from parameters to the loss on the held-out scenes; None where none are.
    """

    scenes: list[Scene]
    loader: ClipLoader
    steps: int
    state: TrainState
    train_step: Callable[[TrainState, Frame], tuple[TrainState, Metrics]]
    judge: Callable[[Any], float] | None

    @property
    def info(self) -> SceneInfo:
        """What the caches have in common."""
        return self.scenes[0].info


def set_up(
    config: ConfigDict, cache_paths: Sequence[str | Path], mesh: Mesh, stack: ExitStack
) -> Setup:
    """Opens the caches and builds core, loss, optimiser and step.

    Args:
        config: the whole config.
        cache_paths: one cache a scene.
        mesh: to train on.
        stack: closes what was opened.

    Raises:
        InputError: where caches and config do not go together.
    """
    check_choices(config)
    scenes = read_scenes(cache_paths, config.data)
    training, held_out = hold_out(scenes, config.train.eval_fraction)
    loader = stack.enter_context(closing(_loader(training, config)))
    steps = config.train.steps or config.train.epochs * loader.batches_per_epoch
    schedule = cosine_schedule(config.optimizer, steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    graphdef, params = new_core(config, scenes[0].info)
    image_size = scenes[0].info.image_size
    loss = partial(batch_loss, graphdef=graphdef, config=config, image_size=image_size)
    augment = compile_augment(new_augment(config), mesh)
    judge = None
    if held_out:
        others = stack.enter_context(closing(_loader(held_out, config)))
        judge = held_out_loss(
            loss, augment, others, -(-len(held_out) // config.data.batch_clips), mesh
        )
    return Setup(
        scenes=scenes,
        loader=loader,
        steps=steps,
        state=init_state(params, optimizer),
        train_step=compile_step(loss, optimizer, schedule, mesh, augment),
        judge=judge,
    )


def new_augment(config: ConfigDict) -> Augment:
    """What is done to a batch before the loss, with noise of seed and step alone."""
    rates = config.train

    def augment(batch: Frame, step: jax.Array) -> tuple[Frame, jax.Array | None]:
        key = jax.random.fold_in(jax.random.key(config.seed), step)
        for_features, for_masks = jax.random.split(key)
        if rates.feature_noise:
            batch = jitter_features(batch, for_features, rates.feature_noise)
        return cut_masks(batch, for_masks, rates.cut_masks) if rates.cut_masks else (batch, None)

    return augment


def new_core(config: ConfigDict, info: SceneInfo) -> tuple[Any, Any]:
    """An untrained core for features such as these: ``(graphdef, params)``."""
    c3, c2 = info.geometry.channels, info.semantics.channels
    rngs = nnx.Rngs(config.seed)
    return split_core(Core(config.model, c3, c2, rngs=rngs, dtype=config.train.dtype))


def _loader(scenes: list[Scene], config: ConfigDict) -> ClipLoader:
    return make_loader([scene.path for scene in scenes], config.data, config.seed)
