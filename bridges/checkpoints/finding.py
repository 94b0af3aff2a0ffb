"""Where on this machine weights are."""

import importlib.util
import os
from pathlib import Path

from bridges.checkpoints.registry import KNOWN, KnownWeights
from moonseg_jax.structs import InputError

OPTIONS = {
    "cut3r": "--rfm-weights",
    "dinov3": "--semantic-weights",
    "fastsam": "--mask-weights",
    "sam2": "--mask-weights",
}


def weights_folder() -> Path:
    """Where weights are looked for: ``$MOONSEG_WEIGHTS``, else the user's cache folder."""
    given = os.environ.get("MOONSEG_WEIGHTS")
    if given:
        return Path(given).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "moonseg" / "weights"


def find_weights(kind: str, given: str = "") -> Path:
    """Finds weights on disk; nothing is ever downloaded.

    Args:
        kind: ``cut3r``, ``dinov3``, ``fastsam`` or ``sam2``.
        given: by the user: a path, a name, file name or hub id of `KNOWN`, or another hub id;
            empty takes the first of the kind that is found.

    Returns:
        A file, or a folder as the hub lays it out.

    Raises:
        InputError: nothing there; says what to download, from where, on what terms, and where to
            put it.
    """
    if given and Path(given).expanduser().exists():
        return Path(given).expanduser()
    of_kind = [known for known in KNOWN if known.kind == kind]
    named = [known for known in of_kind if given in (known.name, known.file, known.hub_id)]
    for known in named if given else of_kind:
        found = found_weights(known)
        if found is not None:
            return found
    if given and not named:
        return _elsewhere(given, of_kind, OPTIONS[kind])
    wanted = named[0] if given else of_kind[0]
    raise InputError(
        f"the weights of {wanted.name} are not in {weights_folder()}: download {wanted.download}"
        f" and put them there, or give {OPTIONS[kind]}=PATH."
    )


def found_weights(known: KnownWeights) -> Path | None:
    """Where known weights lie: in the weights folder, else where the hub's tools keep them.

    In the weights folder: ``NAME.safetensors`` (as ``moonseg convert`` writes it), the file as it
    is given out (also with an address's ``?...`` behind it, as wget leaves it), or the hub's
    folder under its own name.
    """
    folder = weights_folder()
    candidates = [folder / f"{known.name}.safetensors"]
    if known.file:
        candidates += [folder / known.file, *sorted(folder.glob(f"{known.file}[?]*"))]
    if known.hub_id:
        candidates.append(folder / known.hub_id.rpartition("/")[2])
    found = next((path for path in candidates if path.exists()), None)
    return found or (_in_hub_cache(known.hub_id) if known.hub_id else None)


def _elsewhere(given: str, of_kind: list[KnownWeights], option: str) -> Path:
    """Weights that we do not know, but that the hub's tools keep."""
    found = _in_hub_cache(given) if given.count("/") == 1 else None
    if found is None:
        names = ", ".join(known.name for known in of_kind)
        raise InputError(
            f"{option}={given} is no file or folder and not among the hub's downloads here: give"
            f" a path, or one of {names} once it is in {weights_folder()}."
        )
    return found


def _in_hub_cache(hub_id: str) -> Path | None:
    """The local snapshot of a hub id; None unless both its config and weights are there."""
    if not importlib.util.find_spec("huggingface_hub"):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(hub_id, "config.json")
    except HFValidationError:
        return None
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return folder if any(folder.glob("*.safetensors")) else None
