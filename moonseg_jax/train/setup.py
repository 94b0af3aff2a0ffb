"""All that a run is made of. What can be refused is refused here, before its folder is touched."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from moonseg_jax.config import check_choices
from moonseg_jax.data import ClipLoader, make_loader
from moonseg_jax.models import Core, split_core
from moonseg_jax.structs import Frame, SceneInfo
from moonseg_jax.train.augment import cut_masks, jitter_features, stream_order
from moonseg_jax.train.evaluate import HeldOut, held_out_loss
from moonseg_jax.train.mesh import replicated
from moonseg_jax.train.optimizer import cosine_schedule, make_optimizer
from moonseg_jax.train.scenes import Scene, hold_out, read_scenes
from moonseg_jax.train.step import (
    Augment,
    Metrics,
    batch_loss,
    compile_augment,
    compile_step,
    init_state,
)


@dataclass(frozen=True)
class Input:
    """What a run reads.

    Attributes:
        scenes: all of them, held-out ones included.
        loader: of the training scenes, at its first batch.
        steps: of the whole run.
        augment: compiled; what is done to a batch before the loss.
        held_out: batches of the held-out scenes; None where none are.
    """

    scenes: list[Scene]
    loader: ClipLoader
    steps: int
    augment: Augment
    held_out: HeldOut | None

    @property
    def info(self) -> SceneInfo:
        """What the caches have in common."""
        return self.scenes[0].info


@dataclass(frozen=True)
class Setup:
    """A run before its first step.

    Attributes:
        input: what it reads.
        state: before the first step; a `TrainState`, or the `SweepState` of a sweep.
        train_step: compiled on its first call; takes over the state it is given.
        judge: from a state to the loss on the held-out scenes; None where none are.
    """

    input: Input
    state: Any
    train_step: Callable[[Any, Frame], tuple[Any, Metrics]]
    judge: Callable[[Any], np.ndarray] | None

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.input.steps


def set_up(
    config: ConfigDict,
    cache_paths: Sequence[str | Path],
    mesh: Mesh,
    stack: ExitStack,
    data_seed: int | None = None,
) -> Setup:
    """Opens the caches and builds core, loss, optimiser and step.

    Args:
        config: the whole config.
        cache_paths: one cache a scene.
        mesh: to train on.
        stack: closes what was opened.
        data_seed: of the clips' order and noise; ``config.seed`` where None.

    Raises:
        InputError: where caches and config do not go together.
    """
    check_choices(config)
    source = open_input(config, cache_paths, mesh, stack, data_seed)
    schedule = cosine_schedule(config.optimizer, source.steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    graphdef, params = new_core(config, source.info)
    image_size = source.info.image_size
    loss = partial(batch_loss, graphdef=graphdef, config=config, image_size=image_size)
    judge = None
    if source.held_out:

        def alone(state: Any, batch: Frame, targets: jax.Array | None) -> jax.Array:
            return loss(state.params, batch, targets)[0]

        judge = held_out_loss(alone, source.augment, source.held_out, mesh, replicated(mesh))
    return Setup(
        input=source,
        state=init_state(params, optimizer),
        train_step=compile_step(loss, optimizer, schedule, mesh, source.augment),
        judge=judge,
    )


def open_input(
    config: ConfigDict,
    cache_paths: Sequence[str | Path],
    mesh: Mesh,
    stack: ExitStack,
    data_seed: int | None = None,
) -> Input:
    """Opens the caches; as `set_up`, which knows the arguments."""
    seed = config.seed if data_seed is None else data_seed
    scenes = read_scenes(cache_paths, config.data)
    training, others = hold_out(scenes, config.train.eval_fraction)
    loader = stack.enter_context(closing(_loader(training, config, seed)))
    held_out = None
    if others:
        batches = -(-len(others) // config.data.batch_clips)
        held_out = HeldOut(stack.enter_context(closing(_loader(others, config, seed))), batches)
    return Input(
        scenes=scenes,
        loader=loader,
        steps=config.train.steps or config.train.epochs * loader.batches_per_epoch,
        augment=compile_augment(new_augment(config, data_seed), mesh),
        held_out=held_out,
    )


def new_augment(config: ConfigDict, data_seed: int | None = None) -> Augment:
    """What is done to a batch before the loss, with noise of seed and step alone."""
    seed, rates = config.seed if data_seed is None else data_seed, config.train
    order = stream_order(config.data.batch_clips, jax.process_count())

    def augment(batch: Frame, step: ArrayLike) -> tuple[Frame, jax.Array | None]:
        key = jax.random.fold_in(jax.random.key(seed), step)
        for_features, for_masks = jax.random.split(key)
        if rates.feature_noise:
            batch = jitter_features(batch, for_features, rates.feature_noise, order)
        if rates.cut_masks:
            return cut_masks(batch, for_masks, rates.cut_masks, order)
        return batch, None

    return augment


def new_core(config: ConfigDict, info: SceneInfo) -> tuple[Any, Any]:
    """An untrained core for features such as these: ``(graphdef, params)``."""
    c3, c2 = info.geometry.channels, info.semantics.channels
    rngs = nnx.Rngs(config.seed)
    return split_core(Core(config.model, c3, c2, rngs=rngs, dtype=config.train.dtype))


def _loader(scenes: list[Scene], config: ConfigDict, seed: int) -> ClipLoader:
    return make_loader(
        [scene.path for scene in scenes],
        config.data,
        seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
