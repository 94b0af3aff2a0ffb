"""Process-wide settings of JAX that a command makes once."""

import os
from pathlib import Path


def enable_compilation_cache() -> None:
    """Keeps compiled programs between runs, under the user's cache folder.

    ``JAX_COMPILATION_CACHE_DIR`` moves it, as JAX documents.
    """
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        jax.config.update("jax_compilation_cache_dir", str(home / "moonseg_jax" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
