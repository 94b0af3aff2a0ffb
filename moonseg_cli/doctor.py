"""`moonseg doctor`: what is installed, what is found, what is missing."""

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import shutil
from pathlib import Path

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tensorstore", "numpy")
# Package: the extra that installs it, and what it is for.
OPTIONAL = {
    "torch": ("torch", "the neural backbones"),
    "transformers": ("torch", "--semantic=dinov3 and --masks=sam2"),
    "ray": ("cluster", "caching over several GPUs or machines"),
    "viser": ("viewer", "the browser viewer"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--json`` prints one object and nothing else."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> None:
    """Prints the findings."""
    findings = examine()
    if args.json:
        print(json.dumps(findings, indent=2))
        return
    for group, entries in findings.items():
        print(f"{group}:")
        for name, value in entries.items():
            print(f"  {name:<25} {value}")


def examine() -> dict[str, dict[str, str]]:
    """Looks at packages, devices, weights and disk; group to name to what was found."""
    from moonseg_jax import __version__
    from moonseg_jax.weights import shipped_weights

    packages = {"moonseg-jax": __version__, "python": platform.python_version()}
    packages |= {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "packages": packages,
        "optional": {name: _optional(name) for name in OPTIONAL},
        "devices": _jax_devices() | {"torch": _torch_devices()},
        "weights": {path.stem: str(path) for path in shipped_weights()},
        "backbone weights": _backbone_weights(),
        "disk": _disk(),
    }


def _optional(name: str) -> str:
    from moonseg_jax.structs import install

    extra, purpose = OPTIONAL[name]
    if not importlib.util.find_spec(name):
        return f"missing, for {purpose}: {install(extra)}"
    return importlib.metadata.version(name)


def _jax_devices() -> dict[str, str]:
    import jax

    from moonseg_jax.structs import install

    devices = {f"jax device {d.id}": f"{d.platform} {d.device_kind}" for d in jax.devices()}
    if jax.default_backend() == "cpu" and shutil.which("nvidia-smi"):
        devices["jax and the GPU"] = f"JAX does not use it: {install('gpu')}"
    return devices


def _torch_devices() -> str:
    if not importlib.util.find_spec("torch"):
        return "not installed"
    try:
        import torch
    except (ImportError, OSError) as error:  # Of a broken build, which is what to find out here.
        return f"cannot be imported: {' '.join(str(error).split())}"
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        return ", ".join(torch.cuda.get_device_name(index) for index in range(count))
    if shutil.which("nvidia-smi"):
        return f"cpu only: torch {torch.__version__} does not see the GPU"
    return "cpu"


def _backbone_weights() -> dict[str, str]:
    """Where the weights of each backbone are, or where a user gets them."""
    from bridges.checkpoints import CROPFORMER, KNOWN, found_weights, weights_folder
    from bridges.weights import MADE, MINI_CUT3R, MINI_MASKS, MINI_SEMANTIC

    def place(path: Path | None, remedy: str) -> str:
        return str(path) if path and path.exists() else f"missing: {remedy}"

    small = (MINI_CUT3R, MINI_SEMANTIC, MINI_MASKS)
    ours = {path.stem: place(path, MADE) for path in small}
    others = {known.name: place(found_weights(known), known.download) for known in KNOWN}
    return {**ours, "looked for in": str(weights_folder()), **others, "CropFormer": CROPFORMER}


def _disk() -> dict[str, str]:
    """Free space where caches of this folder, and downloaded weights, would go."""
    from bridges.checkpoints import weights_folder

    return {str(folder): _free(folder) for folder in (Path.cwd(), weights_folder())}


def _free(folder: Path) -> str:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return f"{shutil.disk_usage(there).free / 1e9:.1f} GB free"
