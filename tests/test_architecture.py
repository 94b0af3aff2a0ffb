"""Who may import whom (docs/architecture.md), read off the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ABOVE = ("torch", "bridges", "moonseg_cli", "comparators")
MAY_IMPORT = {
    "structs": set(),
    "geometry": {"structs"},
    "config": {"structs"},
    "cache": {"structs"},
    "data": {"structs", "cache"},
    "models": {"structs", "geometry"},
    "memory": {"structs", "geometry", "models"},
    "losses": {"structs", "geometry", "models", "memory"},
    "train": {"config", "structs", "geometry", "models", "memory", "losses", "data", "cache"},
    "online": {"structs", "geometry", "models", "memory"},
    "eval": {"structs", "geometry", "models", "memory", "online", "cache", "viz"},
    "viz": {"structs", "geometry", "models", "memory", "online", "cache", "eval"},
    "rooms": {"structs", "geometry"},
    "weights": {"structs", "models"},
    "api": {"config", "structs", "models", "online", "weights"},
}


def imported_modules(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_of(package: str) -> list[Path]:
    folder = ROOT / "moonseg_jax" / package
    return [folder.with_suffix(".py")] if not folder.is_dir() else sorted(folder.rglob("*.py"))


def test_every_package_has_a_rule():
    packages = {p.name for p in (ROOT / "moonseg_jax").iterdir() if (p / "__init__.py").exists()}
    assert packages <= set(MAY_IMPORT)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_core_imports_follow_the_direction(package):
    allowed = MAY_IMPORT[package] | {package}
    for file in files_of(package):
        for name in imported_modules(file):
            parts = name.split(".")
            assert parts[0] not in ABOVE, f"{file} imports {name}"
            if parts[0] == "moonseg_jax":
                known = len(parts) == 1 or parts[1] in allowed or parts[1] == "__version__"
                assert known, f"{file} imports {name}"


def test_bridges_import_only_structs_and_cache():
    files = sorted((ROOT / "bridges").rglob("*.py"))
    assert files
    for file in files:
        for name in imported_modules(file):
            parts = name.split(".")
            assert parts[0] not in ("moonseg_cli", "comparators"), f"{file} imports {name}"
            if parts[0] == "moonseg_jax":
                allowed = ("structs", "cache", "__version__")
                assert len(parts) == 1 or parts[1] in allowed, f"{file} imports {name}"


def test_comparators_import_only_the_core():
    files = sorted((ROOT / "comparators").rglob("*.py"))
    assert files
    for file in files:
        for name in imported_modules(file):
            parts = name.split(".")
            assert parts[0] not in ("torch", "bridges", "moonseg_cli"), f"{file} imports {name}"
            if parts[0] == "moonseg_jax":
                assert parts[1] in ("structs", "cache", "online", "eval"), f"{file} imports {name}"


def test_the_command_line_does_without_comparators():
    for file in sorted((ROOT / "moonseg_cli").rglob("*.py")):
        for name in imported_modules(file):
            assert name.split(".")[0] != "comparators", f"{file} imports {name}"
