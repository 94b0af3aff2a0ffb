"""The trained weights that ship with the package; `experiments/` holds how each was made."""

from pathlib import Path

from moonseg_jax.structs import InputError, SceneInfo

FOLDER = Path(__file__).parent


def shipped_weights() -> list[Path]:
    """The weights files in the package, in the order of their names."""
    return sorted(FOLDER.glob("*.safetensors"))


def weights_for(info: SceneInfo) -> Path:
    """The shipped default for a scene: the file named after its semantic backbone.

    Raises:
        InputError: none ships for that backbone.
    """
    path = FOLDER / f"{info.semantics.name}.safetensors"
    if path not in shipped_weights():
        raise InputError(
            f"no weights ship for {info.semantics.name} features (scene {info.scene}): give "
            "--checkpoint=RUN of a training on them, or --checkpoint=none for features only"
        )
    return path
