"""MoonSeg3R in JAX: the trainable core, the query memory and the online fusion."""

__version__ = "0.1.0"
