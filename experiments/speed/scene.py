"""The scene of the speed tables: a tiled room, and a state with 500 instances and 300,000 keys."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from moonseg_jax.config import default_config
from moonseg_jax.memory.table import insert_keys
from moonseg_jax.models import Core, split_core
from moonseg_jax.online import OnlineState, grow, init, step
from moonseg_jax.structs import Frame, FrameResult
from tests.reference.box_room import BoxRoom

SIZES: dict[str, dict[str, Any]] = {
    "paper": {"c3": 768, "c2": 1024, "state_tokens": 768, "width": 256, "feed_forward": 1024},
    "classical": {"c3": 48, "c2": 64, "state_tokens": 0, "width": 128, "feed_forward": 512},
    "tiny": {
        "c3": 8,
        "c2": 8,
        "state_tokens": 8,
        "width": 16,
        "feed_forward": 32,
        "image_size": (96, 128),
    },
}
MASKS, INSTANCES, KEYS = 60, 500, 300_000


class Scene:
    """A room, a config, an untrained core, and the step compiled for them.

    Attributes:
        room: where frames come from; ``info`` and ``image_size`` are its own.
        config, graphdef, params: of the core.
        advance: ``(state, frame) -> (state, result)``, jitted; takes over the state.
    """

    def __init__(self, size: str, tile: float = 0.5, frames_per_turn: int = 200):
        fields = dict(SIZES[size])
        model = {name: fields.pop(name) for name in ("width", "feed_forward")}
        options = {"image_size": (384, 512)} | fields
        self.room = BoxRoom(tile=tile, frames_per_turn=frames_per_turn, max_masks=MASKS, **options)
        self.config = default_config()
        self.config.model.update(model)
        # An untrained core finds everything alike; a trained one merges a few masks a frame.
        self.config.online.merge_threshold = 0.9999
        core = Core(self.config.model, self.room.c3, self.room.c2, rngs=nnx.Rngs(0))
        self.graphdef, self.params = split_core(core)
        program = jax.jit(self._advance, donate_argnums=1)
        # Flat: through the state of a module Python would walk at every call, 0.3 ms of it.
        leaves, self._structure = jax.tree.flatten(self.params)
        self.advance = functools.partial(program, leaves)

    def _advance(
        self, leaves: list[jax.Array], state: OnlineState, frame: Frame
    ) -> tuple[OnlineState, FrameResult]:
        core = nnx.merge(self.graphdef, jax.tree.unflatten(self._structure, leaves))
        return step(core, state, frame, config=self.config, image_size=self.room.image_size)

    def frames(self, count: int) -> list[Frame]:
        """Frames on the device."""
        frames = [self.room.frame(index) for index in range(count)]
        return [jax.tree.map(jnp.asarray, frame) for frame in frames]

    def state(self) -> OnlineState:
        """Before the first frame."""
        return init(self.config, self.config.model.width, self.room.state_tokens)

    def full_state(self, frames: list[Frame], instances: int, keys: int) -> OnlineState:
        """After these frames, topped up with random instances and keys in the same room."""
        state = self.state()
        for frame in frames:
            state, _ = self.advance(state, frame)
        rows, table = _doubled(instances + MASKS), _doubled(keys + 2 * MASKS * 768)
        state = grow(state, rows, table, self.config.memory.voxel)
        return filled(state, self.config, instances, keys)


def filled(state: OnlineState, config: ConfigDict, instances: int, keys: int) -> OnlineState:
    """The state with so many instances and at least so many keys, in the room's bounds."""
    rng = np.random.default_rng(0)
    state = jax.tree.map(np.array, state)
    first, bank = int(state.num_rows), state.bank
    count = instances - first
    bank.queries[first:instances] = rng.normal(size=(count, bank.queries.shape[1]))
    bank.tokens[first:instances] = rng.random((count, bank.tokens.shape[1]))
    low = rng.uniform(0, 5, (count, 3))
    bank.boxes[first:instances] = np.stack([low, low + rng.uniform(0.2, 1, (count, 3))], 1)
    bank.observations[first:instances] = 3
    state = jax.tree.map(jnp.asarray, state.replace(num_rows=np.int32(instances)))
    insert = jax.jit(functools.partial(insert_keys, voxel=config.memory.voxel))
    table, piece = state.keys, min(1 << 14, keys)
    while int(table.count) < keys:
        points = rng.uniform([0, 0, 0], [6, 5, 2.6], (piece, 3)).astype(np.float32)
        table = insert(table, points, rng.integers(0, instances, piece).astype(np.int32))
    return state.replace(keys=table)


def _doubled(count: int) -> int:
    return 1 << (count - 1).bit_length()
