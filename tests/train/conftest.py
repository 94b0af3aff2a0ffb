"""Caches and one finished run, shared by the tests of the trainer."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from moonseg_jax.train import TrainResult, setup, train
from tests.train.rooms import tiny_config, write_room


@pytest.fixture(scope="package", autouse=True)
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same step is compiled by many runs here, some in processes of their own."""
    folder = str(tmp_path_factory.mktemp("compiled"))
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    jax.config.update("jax_compilation_cache_dir", folder)
    compilation_cache.reset_cache()
    yield
    del os.environ["JAX_COMPILATION_CACHE_DIR"]
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()


@pytest.fixture
def quick_compile() -> Iterator[None]:
    """Code that is slower, and sooner there."""
    with quickly_compiled():
        yield


@contextmanager
def quickly_compiled() -> Iterator[None]:
    """As `quick_compile`; what was compiled so rounds in its own way and is not used later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # For processes of its own.
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()


@pytest.fixture(scope="package")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Caches of five scenes."""
    folder = tmp_path_factory.mktemp("caches")
    return [write_room(folder / f"room{i}", seed=i) for i in range(5)]


@dataclass(frozen=True)
class Finished:
    """A run that nothing disturbed."""

    workdir: Path
    result: TrainResult
    traces: int


@pytest.fixture(scope="package")
def finished(rooms: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """`tiny_config` from start to end."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    traces = []
    traced = setup.batch_loss

    def counting(*args, **kwargs):
        traces.append(1)
        return traced(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup, "batch_loss", counting)
        result = train(tiny_config(), rooms, workdir, progress=False)
    return Finished(workdir, result, len(traces))
