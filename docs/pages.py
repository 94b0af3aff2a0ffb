"""MkDocs hook: a page lies where it lies in the repository, so that one link works in both.

The pages of the API reference are made here, from the docstrings.
"""

from collections.abc import Iterable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = (
    "*.md",
    "docs/*.md",
    "docs/*.png",
    "docs/*.css",
    "examples/*.md",
    "experiments/*/*.md",
    "experiments/*/*.png",
)
REFERENCE = (
    "moonseg_jax/__init__.py",
    "moonseg_jax/config.py",
    "moonseg_jax/*/__init__.py",
    "bridges/__init__.py",
    "bridges/sources/__init__.py",
    "bridges/checkpoints/__init__.py",
    "bridges/backbones/interfaces.py",
)
# A function in a module of its own name hides behind it: it is asked for by its full address.
HIDDEN = """
::: {address}
    options:
      show_root_heading: true
      show_root_toc_entry: true
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Lists the pages and pictures of the repository, and the reference."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for path in _found(PAGES):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    for path in _found(REFERENCE):
        name, page = _reference(path)
        files.append(File.generated(config, f"reference/{name}.md", content=page))
    return files


def _found(patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def _reference(module: Path) -> tuple[str, str]:
    """Name of a module or package, and its page."""
    path = module.parent if module.stem == "__init__" else module.with_suffix("")
    name = ".".join(path.relative_to(ROOT).parts)
    page = f"# {name}\n\n::: {name}\n"
    exported = module.read_text().splitlines()
    for file in sorted(path.glob("*.py")):
        if f'    "{file.stem}",' in exported:
            page += HIDDEN.format(address=f"{name}.{file.stem}.{file.stem}")
    return name, page
