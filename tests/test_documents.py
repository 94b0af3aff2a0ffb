"""What the documents name exists, and the site shows all of them."""

import re
from pathlib import Path

import pytest

from moonseg_jax.config import default_config

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    file.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "examples/*.md", "experiments/*/*.md")
    for file in ROOT.glob(pattern)
)


def anchors(document):
    """What a link to each heading of a document is called."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    file = ROOT / document
    for target in re.findall(r"\]\(([^)]+)\)", file.read_text()):
        if not target.startswith("https://"):
            path, _, heading = target.partition("#")
            place = file.parent / path if path else file
            assert place.exists(), target
            assert not heading or heading in anchors(place), target


def test_every_document_is_in_the_navigation_of_the_site():
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(page for page in listed if not page.startswith("reference/")) == DOCUMENTS


def test_table_of_symbols_names_code_that_exists():
    text = (ROOT / "docs/conventions.md").read_text()
    table = text.split("## From the paper's symbols to the code")[1].split("##")[0]
    rows = [row.split("|")[2:4] for row in table.splitlines() if row.startswith("|")][2:]
    assert len(rows) > 10
    for names, places in rows:
        code = "".join(
            (ROOT / "moonseg_jax" / place).read_text() for place in re.findall(r"`([^`]+)`", places)
        )
        for name in re.findall(r"`([^`]+)`", names):
            assert name.split(".")[-1] in code, name


def test_table_of_decisions_names_fields_and_defaults_that_exist():
    text = (ROOT / "docs/conventions.md").read_text()
    rows = [row for row in text.splitlines() if re.match(r"\| D\d", row)]
    assert len(rows) > 12
    for row in rows:
        group = None
        for name in re.findall(r"`([a-z_0-9.]+)`", row):
            group, _, field = name.rpartition(".") if "." in name else (group, "", name)
            if group in default_config():
                assert field in default_config()[group], name
