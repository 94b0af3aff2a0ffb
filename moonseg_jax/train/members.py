"""The members of a sweep: what may differ between them, and their arrays, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, struct
from ml_collections import ConfigDict

from moonseg_jax.config import check_choices
from moonseg_jax.structs import InputError, SceneInfo
from moonseg_jax.train.setup import new_core
from moonseg_jax.train.workdir import flat_fields

LOSSES = ("seg", "dist", "xseg", "merge")
OPTIMIZER = (
    "learning_rate",
    "final_learning_rate",
    "warmup_steps",
    "weight_decay",
    "b1",
    "b2",
    "clip_norm",
)
# Parts of the core; a member without one has zeros in its place.
SWITCHES = ("model.context", "model.refine_layers", "model.sources")
SWEPT = (
    "seed",
    *(f"loss.{name}" for name in LOSSES),
    *(f"optimizer.{name}" for name in OPTIMIZER),
    *SWITCHES,
)


@struct.dataclass
class Settings:
    """What the program is told of each member, ``[k ...]``.

    Attributes:
        weights: of the losses, by name.
        optimizer: fields of ``config.optimizer`` in which members differ; others are constants.
        owned: like the parameters, bool: what the member's own core has; None where all have all.
    """

    weights: dict[str, jax.Array]
    optimizer: dict[str, jax.Array]
    owned: Any


@dataclass(frozen=True)
class Members:
    """The members of a sweep.

    Attributes:
        changes: of each, fields of the config by dotted name.
        configs: of each, whole: what `moonseg_jax.train.train` would be given.
        config: of the one core that holds them all; other fields are those of the sweep's config.
    """

    changes: list[dict[str, Any]]
    configs: list[ConfigDict]
    config: ConfigDict

    def __len__(self) -> int:
        return len(self.configs)

    def name(self, index: int) -> str:
        """Such as ``2: seed=1 loss.dist=0.0``."""
        words = (f"{field}={value}" for field, value in self.changes[index].items())
        return f"{index}: {' '.join(words)}".rstrip(": ")

    def settings(self, info: SceneInfo) -> Settings:
        """As arrays; ``info`` is what the caches have in common."""
        weights = {f: _column([c.loss[f] for c in self.configs]) for f in LOSSES}
        varied = {f: [c.optimizer[f] for c in self.configs] for f in OPTIMIZER}
        varied = {f: values for f, values in varied.items() if len(set(values)) > 1}
        if "clip_norm" in varied:
            varied["clip_norm"] = [norm or np.inf for norm in varied["clip_norm"]]
        optimizer = {field: _column(values) for field, values in varied.items()}
        owned = None
        if any(self.config.model[f] != c.model[f] for c in self.configs for f in _switches()):
            owned = self._embedded(info, lambda x: np.ones(x.shape, bool))
        return Settings(weights, optimizer, owned)

    def new_params(self, info: SceneInfo) -> tuple[Any, Any]:
        """``(graphdef, params [k ...])``: untrained, each from its own seed as by itself."""
        graphdef, _ = new_core(self.config, info)
        return graphdef, self._embedded(info, np.asarray)

    def own_params(self, params: Any, index: int, info: SceneInfo) -> Any:
        """The parameters of one member's own core, out of ``params [k ...]``."""
        config = self.configs[index]
        whole = dict(nnx.to_flat_state(params))
        own = [
            (key, x.replace(_place(whole[key][...][index], x.shape, config.model.sources)))
            for key, x in nnx.to_flat_state(_abstract(config, info))
        ]
        return nnx.from_flat_state(own)

    def _embedded(self, info: SceneInfo, leaf: Any) -> Any:
        """``[k ...]``: what ``leaf`` makes of each member's parameters, zero where it has none."""
        columns = dict(nnx.to_flat_state(_abstract(self.config, info)))
        arrays = {key: [] for key in columns}
        for config in self.configs:
            own = dict(nnx.to_flat_state(new_core(config, info)[1]))
            for key, whole in columns.items():
                value = leaf(own[key][...]) if key in own else np.zeros(0)
                array = np.zeros(whole.shape, value.dtype if key in own else whole.dtype)
                if key in own:
                    _place(array, value.shape, config.model.sources)[...] = value
                arrays[key].append(array)
        stacked = [(key, x.replace(np.stack(arrays[key]))) for key, x in columns.items()]
        return nnx.from_flat_state(stacked)


def make_members(config: ConfigDict, changes: Sequence[Mapping[str, Any]]) -> Members:
    """Checks what a sweep varies.

    Args:
        config: of the whole sweep.
        changes: of each member, fields of the config by dotted name.

    Raises:
        InputError: no members, an unknown field, a value that it cannot have, or a field that
            members of one program cannot differ in.
    """
    if not changes:
        raise InputError("the sweep has no members; let get_sweep() return one dict a member")
    configs = [_changed(config, change) for change in changes]
    whole = config.copy_and_resolve_references()
    models = [c.model for c in configs]
    sources = {model.sources for model in models}
    layers = {model.refine_layers for model in models}
    if len(sources) > 1 and (
        whole.model.feature_norm == "joint" or whole.model.positional_encoding == "sincos"
    ):
        raise InputError(
            "model.sources cannot be swept with model.feature_norm=joint or "
            "model.positional_encoding=sincos, which mix the sources; sweep each by itself"
        )
    if len(layers) > 1 and min(layers) < 1:
        raise InputError(
            "model.refine_layers=0 leaves out the norm after φ too and is another program; "
            "sweep values from 1 up"
        )
    whole.model.sources = sources.pop() if len(sources) == 1 else "both"
    whole.model.refine_layers = max(layers)
    whole.model.context = any(model.context for model in models)
    # The program computes what some member weighs, once, and leaves the weighing to each.
    for name in LOSSES:
        whole.loss[name] = float(any(c.loss[name] for c in configs))
    return Members([dict(change) for change in changes], configs, whole)


def _changed(config: ConfigDict, change: Mapping[str, Any]) -> ConfigDict:
    fields = flat_fields(config.to_dict())
    for name, value in change.items():
        if name not in fields:
            raise InputError(f"get_sweep() names {name}: there is no such config field")
        if name not in SWEPT:
            raise InputError(
                f"{name} cannot be swept, as all members share batches, arrays and one program: "
                f"run one sweep for each value, or vary {', '.join(SWEPT)}"
            )
        kind = type(fields[name])
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise InputError(
                f"get_sweep(): config field {name} is a {kind.__name__}, not {value!r}"
            )
    member = config.copy_and_resolve_references()
    member.update_from_flattened_dict(dict(change))
    check_choices(member)
    return member


def _switches() -> list[str]:
    return [name.removeprefix("model.") for name in SWITCHES]


def _column(values: list[float]) -> jax.Array:
    return jnp.asarray(values, jnp.float32)


def _abstract(config: ConfigDict, info: SceneInfo) -> Any:
    """Shapes and dtypes of a core's parameters."""
    return nnx.eval_shape(lambda: new_core(config, info)[1])


def _place(whole: np.ndarray, shape: tuple[int, ...], sources: str) -> np.ndarray:
    """The part of an array that is a smaller core's: the rows of its features' channels.

    Tokens are geometric channels first, semantic ones after.
    """
    if whole.shape == shape:
        return whole
    return whole[-shape[0] :] if sources == "2d" else whole[: shape[0]]
