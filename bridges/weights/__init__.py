"""The small backbones' weights that ship; `experiments/mini_backbones` tells how they were made."""

from pathlib import Path

from moonseg_jax.structs import InputError

FOLDER = Path(__file__).parent
MINI_CUT3R = FOLDER / "mini_cut3r.safetensors"
MINI_SEMANTIC = FOLDER / "mini_semantic.safetensors"
MINI_MASKS = FOLDER / "mini_masks.safetensors"
MADE = "train it as experiments/mini_backbones/README.md says"
OPTIONS = {
    MINI_CUT3R: "--rfm-weights",
    MINI_SEMANTIC: "--semantic-weights",
    MINI_MASKS: "--mask-weights",
}


def shipped(path: Path, given: str = "") -> Path:
    """What ships, unless a user gives others.

    Raises:
        InputError: an installation that lacks it.
    """
    if given:
        return Path(given).expanduser()
    if not path.is_file():
        raise InputError(
            f"{path} is missing from this installation: {MADE} and put it there, or give"
            f" {OPTIONS[path]}=FILE."
        )
    return path
