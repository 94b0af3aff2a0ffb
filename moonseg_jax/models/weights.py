"""Weights files: safetensors, whose header says what was trained on what."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from moonseg_jax.models.core import Core
from moonseg_jax.structs import InputError, SceneInfo

_HEADER = "moonseg"


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says about itself.

    Attributes:
        model: the fields of `moonseg_jax.config.model_config`.
        geometry: ``name``, ``channels`` and ``weights_sha256`` of the backbone whose features it
            was trained on.
        semantics: the same of the other backbone.
        units: ``metre`` or ``scene``, of the training caches.
        extra: whatever else was recorded (recipe, step, code version).
        sha256: of the file.
    """

    model: dict[str, Any]
    geometry: dict[str, Any]
    semantics: dict[str, Any]
    units: str
    extra: dict[str, Any]
    sha256: str = ""

    def check_fits(self, info: SceneInfo, path: str | Path) -> None:
        """Refuses a cache whose features are not those the weights were trained on.

        Args:
            info: of the cache.
            path: of the cache, for the message.

        Raises:
            InputError: another backbone, other backbone weights, or another width.
        """
        for role in ("geometry", "semantics"):
            trained, cached = getattr(self, role), _backbone(info, role)
            if misfit := [k for k in trained if _differ(trained[k], cached[k])]:
                has, wants = ({k: x[k] for k in ["name", *misfit]} for x in (cached, trained))
                raise InputError(
                    f"{path}: its {role} features ({_words(has)}) are not those the weights were "
                    f"trained on ({_words(wants)}); cache the scene with that backbone, or choose "
                    "weights trained on this one"
                )


def weights_metadata(config: ConfigDict, info: SceneInfo, **extra: Any) -> dict[str, Any]:
    """The metadata of `save_weights`: the model's config, and the caches it was trained on.

    Args:
        config: `moonseg_jax.config.model_config`.
        info: of any of the training caches.
        extra: anything JSON-serialisable to keep beside.
    """
    own = {
        "model": config.to_dict(),
        "geometry": _backbone(info, "geometry"),
        "semantics": _backbone(info, "semantics"),
        "units": info.units,
    }
    return own | extra


def save_weights(path: str | Path, params: Any, metadata: dict[str, Any]) -> None:
    """Writes a core's parameters.

    Args:
        path: of the ``.safetensors`` file; replaced as a whole.
        params: as `split_core` gives them.
        metadata: as `weights_metadata` gives it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    tensors = {_name(key): np.asarray(x[...]) for key, x in nnx.to_flat_state(params)}
    save_file(tensors, partial, metadata={_HEADER: json.dumps(metadata)})
    partial.replace(path)


def load_weights(path: str | Path, *, dtype: Any = jnp.float32) -> tuple[Any, Any, WeightsInfo]:
    """Reads a core, strictly: exactly the tensors of its config, in their shapes.

    Args:
        path: of a file that `save_weights` wrote.
        dtype: of the activations.

    Returns:
        ``(graphdef, params, info)``; the first two as `split_core` gives them.

    Raises:
        InputError: no such file, not a safetensors file, truncated, or not a core's.
    """
    tensors, info = _read(Path(path))
    try:
        config = ConfigDict(info.model)
        c3, c2 = info.geometry["channels"], info.semantics["channels"]
        abstract = nnx.eval_shape(lambda: Core(config, c3, c2, rngs=nnx.Rngs(0), dtype=dtype))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: its header describes no model of this version ({error}); train or download "
            "weights of this version"
        ) from error
    graphdef, params = nnx.split(abstract)
    wanted = dict(nnx.to_flat_state(params))
    _check_shapes(
        {_name(key): x.shape for key, x in wanted.items()},
        {name: x.shape for name, x in tensors.items()},
        path,
    )
    filled = [
        (key, x.replace(jnp.asarray(tensors[_name(key)], x.dtype))) for key, x in wanted.items()
    ]
    return graphdef, nnx.from_flat_state(filled), info


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> tuple[dict[str, np.ndarray], WeightsInfo]:
    if not path.is_file():
        raise InputError(f"{path}: no such weights file; give the path of a .safetensors file")
    try:
        with safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get(_HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: not a whole safetensors file ({error}); download or train it again"
        ) from error
    try:
        fields = json.loads(header or "{}")
        own = {k: fields.pop(k) for k in ("model", "geometry", "semantics", "units")}
        return tensors, WeightsInfo(**own, extra=fields, sha256=file_sha256(path))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: its header does not say what it was trained on; give weights that "
            "`moonseg train` wrote"
        ) from error


def _check_shapes(wanted: dict[str, tuple], found: dict[str, tuple], path: str | Path) -> None:
    wrong = sorted(n for n in wanted | found if wanted.get(n) != found.get(n))
    if wrong:
        name = wrong[0]
        raise InputError(
            f"{path}: {len(wrong)} tensors do not fit its config, first '{name}' (wanted "
            f"{wanted.get(name, 'none')}, found {found.get(name, 'none')}); use an unedited file"
        )


def _name(key: tuple) -> str:
    """A dotted path such as ``phi.0.patch_attention.query.kernel``."""
    return ".".join(map(str, key))


def _backbone(info: SceneInfo, role: str) -> dict[str, Any]:
    backbone = getattr(info, role)
    return {
        "name": backbone.name,
        "channels": backbone.channels,
        "weights_sha256": backbone.weights_sha256,
    }


def _differ(trained: Any, cached: Any) -> bool:
    # An empty hash says nothing: the backbone has no weights, or they were not recorded.
    return trained != cached and trained != "" and cached != ""


def _words(fields: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in fields.items())
