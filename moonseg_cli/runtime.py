"""What a process is told once: how JAX keeps programs, and when a worker ends."""

import multiprocessing
import os
import threading
from contextlib import suppress
from pathlib import Path


def enable_compilation_cache() -> None:
    """Keeps compiled programs between runs, under the user's cache folder if that can be written.

    ``JAX_COMPILATION_CACHE_DIR`` moves it, as JAX documents.
    """
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = home / "moonseg_jax" / "xla"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def end_with_parent() -> None:
    """A killed parent's workers end at once, so that it can be started again at once."""
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
