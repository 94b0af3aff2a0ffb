"""The host side of the online loop: compiles the step and keeps its capacities ahead of need."""

import copy
import dataclasses
import logging
from typing import Any

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from moonseg_jax.online.pipeline import step
from moonseg_jax.online.state import OnlineState, grow, init
from moonseg_jax.structs import Frame, FrameResult, SceneInfo
from moonseg_jax.structs.bitplanes import WORD_BITS

logger = logging.getLogger(__name__)


class OnlineLoop:
    """Runs the step frame by frame; nothing is ever dropped for want of room.

    Bank and key table double before a frame could overflow them, and frames with more masks than
    any before compile a wider step: a handful of compilations a scene, each one logged.

    Args:
        graphdef: of the core, from `moonseg_jax.models.split_core`.
        params: of the core.
        info: of the scene.
        config: as a whole; ``memory`` holds the first capacities.

    Attributes:
        state: after the last frame. Its buffers go to the next `step`: copy what must outlive it.
    """

    state: OnlineState

    def __init__(self, graphdef: Any, params: Any, info: SceneInfo, config: ConfigDict):
        config = copy.deepcopy(config)  # Compiled in: what the caller changes later has no part.
        # Flat: through the state of a module Python would walk at every call.
        leaves, structure = jax.tree.flatten(params)

        def advance(
            leaves: list[jax.Array], state: OnlineState, frame: Frame
        ) -> tuple[OnlineState, FrameResult]:
            core = nnx.merge(graphdef, jax.tree.unflatten(structure, leaves))
            return step(core, state, frame, config=config, image_size=info.image_size)

        self._advance = jax.jit(advance, donate_argnums=1)
        self._grow = jax.jit(grow, static_argnames=("rows", "keys", "voxel"))
        self._leaves, self._info, self._config = leaves, info, config
        self._compiled: set[tuple[int, int, int]] = set()
        # More than these cannot be in use; the exact numbers would cost a wait for the device.
        self._most_rows = self._most_keys = 0
        self.state = init(config, nnx.merge(graphdef, params).width, info.state_tokens)

    def step(self, frame: Frame) -> FrameResult:
        """Segments the next frame.

        Args:
            frame: as the cache and the live bridges yield it, on the host.
        """
        frame = _pad_words(frame)
        if not self._info.state_tokens:
            frame = dataclasses.replace(frame, state_attention=None)
        self._make_room(frame)
        self._log_compilation(frame)
        self.state, result = self._advance(self._leaves, self.state, frame)
        return result

    def _make_room(self, frame: Frame) -> None:
        rows = int(np.sum(frame.mask_valid))
        keys = _most_pairs(frame, rows, self._info.grid, self._config.model.min_coverage)
        self._most_rows += rows
        self._most_keys += keys
        capacity = self.state.bank.capacity, self.state.keys.capacity
        if self._most_rows > capacity[0] or self._most_keys > capacity[1]:
            self._most_rows = int(self.state.num_rows) + rows
            self._most_keys = int(self.state.keys.count) + keys
        needed = _doubled(capacity[0], self._most_rows), _doubled(capacity[1], self._most_keys)
        if needed != capacity:
            sizes = (capacity[0], needed[0], capacity[1], needed[1])
            logger.info("memory grows: rows %d -> %d, keys %d -> %d", *sizes)
            self.state = self._grow(
                self.state, rows=needed[0], keys=needed[1], voxel=self._config.memory.voxel
            )

    def _log_compilation(self, frame: Frame) -> None:
        sizes = frame.mask_valid.shape[0], self.state.bank.capacity, self.state.keys.capacity
        if sizes not in self._compiled:
            self._compiled.add(sizes)
            logger.info("compiling the step for %d masks, %d rows, %d keys: some seconds", *sizes)


def _most_pairs(frame: Frame, masks: int, grid: tuple[int, int], min_coverage: float) -> int:
    """How many keys a frame can add at most, whichever of its masks are merged.

    Every attended patch holds more than ``min_coverage`` of its cells in the mask, and a mask
    without one has one patch; a union covers no more cells than its masks.
    """
    patches = grid[0] * grid[1]
    height, width = frame.masks.shape[:2]
    needed = min_coverage * height * width / patches
    covered = int(np.sum(np.bitwise_count(np.asarray(frame.masks)), dtype=np.int64))
    most = int(covered / needed) if needed > 0 else masks * patches
    return min(most + masks, masks * patches)


def _doubled(capacity: int, needed: int) -> int:
    while capacity < needed:
        capacity *= 2
    return capacity


def _pad_words(frame: Frame) -> Frame:
    """Pads the mask planes to a power of two of words, so that few widths are ever compiled."""
    words = frame.masks.shape[-1]
    more = _doubled(1, words) - words
    if not more:
        return frame
    return dataclasses.replace(
        frame,
        masks=np.pad(frame.masks, ((0, 0), (0, 0), (0, more))),
        mask_valid=np.pad(frame.mask_valid, (0, more * WORD_BITS)),
        mask_scores=np.pad(frame.mask_scores, (0, more * WORD_BITS)),
    )
