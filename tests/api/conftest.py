import pytest

import bridges
from moonseg_cli.runtime import enable_compilation_cache
from moonseg_jax.cache import CacheWriter
from moonseg_jax.rooms import CorruptionRates, write_room


@pytest.fixture(scope="session", autouse=True)
def compile_once():
    """Most of these compile the same programs."""
    enable_compilation_cache()


@pytest.fixture(scope="session")
def cached(tmp_path_factory):
    """``cache/``, and beside it the ``room/`` that it is of."""
    folder = tmp_path_factory.mktemp("api")
    room = write_room(folder / "room", 7007, 3, size=(96, 128), rates=CorruptionRates())
    backbones = bridges.load_backbones(bridges.BridgeConfig(masks=str(room / "masks")))
    bridge = bridges.Bridge(bridges.open_source(room), backbones)
    with CacheWriter(folder / "cache", bridge.info) as writer:
        for name, frame in bridge.frames():
            writer.append(name, frame)
    return folder / "cache"
