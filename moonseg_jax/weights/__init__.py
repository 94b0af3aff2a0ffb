"""The trained weights that ship with the package; `experiments/` holds how each was made."""

from pathlib import Path

from moonseg_jax.structs import InputError, SceneInfo

FOLDER = Path(__file__).parent
# By the names of geometry and semantics.
DEFAULTS = {
    ("sensor", "classical"): "classical.safetensors",
    ("mini", "mini"): "mini.safetensors",
}


def shipped_weights() -> list[Path]:
    """The weights files in the package, in the order of their names."""
    return sorted(FOLDER.glob("*.safetensors"))


def weights_for(info: SceneInfo) -> Path:
    """The shipped default for a scene.

    Raises:
        InputError: none ships for its backbones.
    """
    backbones = info.geometry.name, info.semantics.name
    if backbones not in DEFAULTS:
        raise InputError(
            f"no weights ship for {backbones[0]} geometry with {backbones[1]} features (scene"
            f" {info.scene}): give --checkpoint=RUN of a training on them, or --checkpoint=none for"
            " features only"
        )
    return FOLDER / DEFAULTS[backbones]
