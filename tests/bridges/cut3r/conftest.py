"""One tiny model of each head, with weights by formula."""

import pytest
import torch

from bridges.backbones.cut3r import TINY_DPT, TINY_LINEAR, Cut3r, Cut3rConfig
from bridges.backbones.cut3r.checkpoint import load_tensors, published_shapes
from tests.bridges.cut3r.formula import formula_tensors


def formula_model(config: Cut3rConfig) -> Cut3r:
    with torch.device("meta"):
        model = Cut3r(config)
    load_tensors(model, formula_tensors(published_shapes(model, config.head)), "formula")
    return model.eval()


@pytest.fixture(scope="session")
def dpt() -> Cut3r:
    return formula_model(TINY_DPT)


@pytest.fixture(scope="session")
def linear() -> Cut3r:
    return formula_model(TINY_LINEAR)


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield
