"""The trained weights that ship with the package; `experiments/` holds how each was made."""

from pathlib import Path

from moonseg_jax.models.weights import read_weights_info
from moonseg_jax.structs import InputError, SceneInfo

FOLDER = Path(__file__).parent


def shipped_weights() -> list[Path]:
    """The weights files in the package, in the order of their names."""
    return sorted(FOLDER.glob("*.safetensors"))


def weights_for(info: SceneInfo) -> Path:
    """The shipped default for a scene's backbones: the file named after its semantic backbone.

    Raises:
        InputError: none of the shipped weights was trained on these features.
    """
    for path in shipped_weights():
        made_for = read_weights_info(path)
        if path.stem == info.semantics.name and made_for.fits(info):
            return path
    geometry, semantics = (
        f"{b.name} ({b.channels} channels)" for b in (info.geometry, info.semantics)
    )
    raise InputError(
        f"no shipped weights fit {info.scene}'s features, {geometry} and {semantics}: give "
        "--checkpoint=RUN of a training on them, or --checkpoint=none for features only"
    )
