"""The recording that the evaluation is tested on."""

from tests.eval.conftest import recording

__all__ = ["recording"]
