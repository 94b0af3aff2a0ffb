"""`moonseg doctor`: what is installed, what is found, what is missing."""

import argparse
import importlib.metadata
import importlib.util
import json
import platform

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tensorstore", "numpy")
OPTIONAL = {
    "torch": "neural backbones and the parity tests: pip install 'moonseg-jax[torch]'",
    "viser": "browser viewer: pip install 'moonseg-jax[viewer]'",
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
            print(f"  {name:<26}{value}")


def examine() -> dict[str, dict[str, str]]:
    """Looks at packages, devices and shipped weights."""
    import jax

    from moonseg_jax import __version__
    from moonseg_jax.weights import shipped_weights

    packages = {"moonseg-jax": __version__, "python": platform.python_version()}
    packages |= {name: importlib.metadata.version(name) for name in PACKAGES}
    optional = {
        name: importlib.metadata.version(name)
        if importlib.util.find_spec(name)
        else f"missing: {purpose}"
        for name, purpose in OPTIONAL.items()
    }
    devices = {f"jax device {d.id}": f"{d.platform} {d.device_kind}" for d in jax.devices()}
    weights = {path.stem: str(path) for path in shipped_weights()}
    return {"packages": packages, "optional": optional, "devices": devices, "weights": weights}
