"""The decisions of the public code, frozen by `experiments.table1.check_upstream --golden`.

That script compares further, and directly; what is here needs none of the public code.
"""

import importlib
import json
from pathlib import Path

import pytest

from experiments.table1.check_upstream import METHODS, fingerprint
from tests.comparators.scene import TiledRoom

GOLDEN = json.loads((Path(__file__).parent / "upstream.json").read_text())


@pytest.mark.parametrize("name", METHODS)
def test_decisions_are_those_of_the_public_code(name):
    check = importlib.import_module(f"experiments.table1.upstream.{name}")
    mine = fingerprint(check.decisions(check.ours(TiledRoom())))
    assert mine["sizes"] == GOLDEN[name]["sizes"]
    assert mine["sha256"] == GOLDEN[name]["sha256"]
