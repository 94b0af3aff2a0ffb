"""What the documents name exists."""

import re
from pathlib import Path

import pytest

from moonseg_jax.config import default_config

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    file = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
        assert target.startswith("https://") or (file.parent / target).exists(), target


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
